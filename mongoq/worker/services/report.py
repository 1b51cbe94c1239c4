"""What one attempt says of its progress, until it is stored: the newest of all, not one write for each."""

from __future__ import annotations

import threading
from collections import deque

from mongoq.core.clock import elapsed
from mongoq.core.tasks.progress import LONGEST_LINE, MOST_LINES, Unwritten, last_lines, shown


class Report:
    """Collects what a handler says, in any thread. `unwritten` is for one writer, who then calls `written`."""

    __slots__ = ("_count", "_lines", "_lines_at", "_lock", "_message", "_value", "_written")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value: float | None = None
        self._message: str | None = None
        self._lines: deque[tuple[float, str]] = deque(maxlen=MOST_LINES)
        self._count = 0
        """How many things were said."""
        self._lines_at = 0
        """The count at the last line."""
        self._written = 0
        """The count of what is known to be stored."""

    def progress(self, value: float | None, message: str | None) -> None:
        """Note a value or a message, checked; None leaves the one before."""
        with self._lock:
            self._count += 1
            self._value = self._value if value is None else value
            self._message = self._message if message is None else message

    def log(self, text: object) -> None:
        """Note a line."""
        line = shown(text, LONGEST_LINE)
        with self._lock:
            self._count = self._lines_at = self._count + 1
            self._lines.append((elapsed(), line))

    @property
    def unwritten(self) -> Unwritten | None:
        """What is not known to be stored; None: nothing."""
        if self._count == self._written:
            return None
        with self._lock:
            now = elapsed()
            fresh = self._lines_at > self._written
            lines = [(now - at, text) for at, text in last_lines(self._lines)] if fresh else None
            return Unwritten(self._count, self._value, self._message, lines, whole=not self._written)

    def written(self, number: int) -> None:
        """Note that all of `Unwritten.number` is stored, or was refused."""
        with self._lock:
            self._written = max(self._written, number)
