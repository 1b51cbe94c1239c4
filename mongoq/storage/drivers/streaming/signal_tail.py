"""The signals of a namespace as one process reads them: open, next, end. `operations/fleet/signals.py` says why."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mongoq.core.errors import StorageError
from mongoq.core.fleet import Signal
from mongoq.storage.context import Context
from mongoq.storage.control import Next
from mongoq.storage.operations.fleet import signals

Run = Callable[[Any], Any]


class SignalTail:
    """The signals for one place. For one thread; `run` runs its operations."""

    def __init__(self, run: Run, context: Context, place: int) -> None:
        self._run = run
        self._context = context
        self._place = place
        self._cursor: Any = None
        self._found: list[Signal] = []

    @property
    def open(self) -> bool:
        """Whether a cursor stands: every signal from now on comes."""
        return self._cursor is not None

    def begin(self) -> None:
        """Open a cursor; the collection is made where it is missing. StorageRefused where there can be none."""
        cursor, found = self._opened()
        if cursor is None:
            self._run(signals.make(self._context))
            cursor, found = self._opened()
        self._cursor = cursor
        self._found = [] if found is None else [found]

    def next(self) -> Signal | None:
        """Wait for a signal; None where none came in time, or the cursor has died: `open` tells."""
        if self._found:
            return self._found.pop()
        try:
            found = self._run(signals.next_signal(self._cursor))
        except StorageError:
            self.end()
            raise
        if found == Next.ENDED:
            self.end()
            return None
        return found if isinstance(found, Signal) else None

    def end(self) -> None:
        """Close the cursor, if one stands."""
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            with suppress(StorageError):  # it is gone already
                self._run(signals.close_tail(cursor))

    def _opened(self) -> tuple[Any, Signal | None]:
        """A cursor, and the first that it has found; no cursor where the collection is missing or empty."""
        cursor = self._run(signals.open_tail(self._context, self._place))
        found = self._run(signals.next_signal(cursor))
        return (None, None) if found == Next.ENDED else (cursor, found if isinstance(found, Signal) else None)
