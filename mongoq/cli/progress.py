"""One line on the terminal that says how far long work has come."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from mongoq import Progress
from mongoq.cli.output import clean

AFTER: Final = 0.5
"""Seconds of work without a word."""
EVERY: Final = 0.2
"""The least seconds between two lines."""
_ERASE: Final = "\r\x1b[K"


@contextmanager
def progress_line(*, quiet: bool, total: int | None = None) -> Iterator[Callable[[Progress], None] | None]:
    """Yield what draws the line on stderr, in place of the one before; None where that is no terminal, or `quiet`.

    `total` is how many tasks there are, where the work itself does not know. The line is gone at the end.
    """
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    line = _Line(total)
    try:
        yield line.draw
    finally:
        line.erase()


class _Line:
    def __init__(self, total: int | None) -> None:
        self._total = total
        self._next = time.monotonic() + AFTER
        self._drawn = False

    def draw(self, progress: Progress) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + EVERY
        self._drawn = True
        width = shutil.get_terminal_size().columns - 1
        _write(f"{_ERASE}{described(progress, self._total)[:width]}")

    def erase(self) -> None:
        if self._drawn:
            _write(_ERASE)


def _write(text: str) -> None:
    with suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()


def described(progress: Progress, total: int | None = None) -> str:
    """The text of the line: `cancel: 12,000 of 40,000 (30 %)`."""
    most = progress.total or total
    text = f"{clean(progress.work)}: {progress.done:,}"
    return f"{text} of {most:,} ({min(100, 100 * progress.done // most)} %)" if most else text
