"""How far a handler says it is: a value, a message and the last lines of its log."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from mongoq.core.validation import Checker

__all__ = ["LogLine", "TaskProgress"]

MOST_LINES: Final = 100
LONGEST_LINE: Final = 1_000
LONGEST_MESSAGE: Final = 500
MOST_TEXT: Final = 16 * 1024
"""Characters of the lines that are kept, together: all of them are written each time that one is added."""


class LogLine(NamedTuple):
    """One line that a handler has logged by `attempt.log`."""

    at: datetime
    """When, server time."""
    text: str
    """The line, at most 1,000 characters."""


@dataclass(frozen=True, slots=True)
class TaskProgress:
    """How far an attempt has said that it is."""

    value: float | None
    """From 0 to 1; None: it has not said."""
    message: str | None
    """What it is doing."""
    at: datetime
    """When it said so last, server time."""
    attempt: int
    """Which attempt it was, counted from 1: the last one that has said anything."""
    log: tuple[LogLine, ...] = ()
    """Its last 100 lines, at most 16 KiB of them, the oldest first."""


class Unwritten(NamedTuple):
    """What an attempt has said and is not known to be stored; a later one holds all of an earlier one."""

    number: int
    """How many things it has said so far."""
    value: float | None
    message: str | None
    lines: Sequence[tuple[float, str]] | None
    """All lines to be kept, and how many seconds ago each was said; None: there are no new ones."""
    whole: bool
    """Whether nothing of this attempt is known to be stored: what an earlier attempt has said is replaced."""


def checked_progress(value: Any, message: Any) -> tuple[float | None, str | None]:
    """Check what a handler says of its progress; raises ConfigurationError."""
    checker = Checker()
    if value is None and message is None:
        checker.refuse("value", value, "allowed together with message: give one of them")
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and 0 <= value <= 1
    if not (value is None or fits):
        checker.refuse("value", value, "a number from 0 to 1, such as done / total")
    checker.finish()
    return None if value is None else float(value), None if message is None else shown(message, LONGEST_MESSAGE)


def shown(text: object, longest: int) -> str:
    """A text that can be stored, shortened."""
    line = str(text)
    if not line.isascii():
        line = line.encode(errors="replace").decode()
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


def last_lines(lines: Iterable[tuple[float, str]]) -> list[tuple[float, str]]:
    """Those of the newest lines that are kept."""
    kept: list[tuple[float, str]] = []
    size = 0
    for line in reversed([*lines]):
        size += len(line[1])
        if size > MOST_TEXT:
            break
        kept.append(line)
    return kept[::-1]
