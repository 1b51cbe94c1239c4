"""Watches for new work while this process is idle, so that an idle worker starts in milliseconds.

A hint, never more: without the stream, on a standalone server or after any error, the poll finds everything.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Final, Protocol

from mongoq.core.clock import elapsed
from mongoq.core.errors import StorageRefused
from mongoq.core.events import Signpost, Telemetry
from mongoq.core.lifecycle import TaskState
from mongoq.storage.operations.watch import NO_STREAMS

SPREAD: Final = 0.001
"""Seconds for which a process that lost a race for news holds back at the next one; twice as long after each loss."""
LONGEST_SPREAD: Final = 0.03
LINGER: Final = 1.0
"""Seconds for which a stream outlives the idleness it was opened for: opening costs more than a quiet second."""


class Stream(Protocol):
    """What the waker needs of `storage.wakeups.Wakeups`."""

    @property
    def open(self) -> bool: ...  # noqa: D102
    def begin(self) -> None: ...  # noqa: D102
    def wait(self) -> TaskState | None: ...  # noqa: D102
    def end(self) -> None: ...  # noqa: D102


class Waker:
    """The service that waits for news."""

    def __init__(
        self,
        stream: Stream,
        *,
        news: Callable[[], None],
        ready: Callable[[], None],
        scheduled: Callable[[], None],
        telemetry: Telemetry,
    ) -> None:
        self._stream = stream
        self._news = news
        self._ready = ready
        self._scheduled = scheduled
        self._telemetry = telemetry
        self._idle = threading.Event()
        self._busy_since = 0.0
        self._possible = True
        self._racing = False
        self._spread = 0.0
        self._told = False
        """Whether others count on a stream to tell them of scheduled tasks."""

    def idle(self, idle: bool) -> bool:
        """Note whether the last claim found nothing; whether news comes by itself, so that polls may be rare."""
        self.raced(won=not idle)
        if idle:
            self._idle.set()
        elif self._idle.is_set():
            self._busy_since = elapsed()
            self._idle.clear()
        return self._stream.open

    def raced(self, *, won: bool) -> None:
        """Note how the last piece of news was followed up.

        Of an idle fleet the process that won the last race answers at once, those that lost it hold back: they
        find nothing any more, which is cheap, and there is no fight. The winner's place is taken when it is busy.
        """
        if self._racing:
            self._racing = False
            self._spread = self._spread / 4 if won else min(LONGEST_SPREAD, max(SPREAD, self._spread * 2))

    def step(self) -> float | None:
        """Wait for one piece of news, as long as the process is idle."""
        if not self._possible:
            return None
        if not self._idle.is_set():
            left = self._busy_since + LINGER - elapsed()
            if left <= 0:
                self.end()
            self._idle.wait(max(0.05, left) if self._stream.open else LINGER)
            return 0
        if not self._stream.open and not self._begin():
            return None
        self._told = True
        news = self._stream.wait()
        if news is TaskState.READY:
            self._idle.clear()
            self._busy_since = elapsed()
            if self._spread >= SPREAD:
                threading.Event().wait(self._spread * random.uniform(0.5, 1.0))  # noqa: S311 -- no secret
            self._racing = True
            self._news()
        elif news is TaskState.SCHEDULED:
            self._scheduled()
        return 0

    def end(self) -> None:
        """Watch no more; scheduled tasks are to be looked for from now on. For the thread that steps."""
        self._stream.end()
        if self._told:
            self._told = False
            self._scheduled()

    def _begin(self) -> bool:
        try:
            self._stream.begin()
        except StorageRefused as error:
            if error.code not in NO_STREAMS:
                raise
            self._possible = False
            return False
        # What came between the empty claim and the opening, or since a stream broke off, is found by one more look.
        self._ready()
        self._scheduled()
        self._telemetry.emit(Signpost.WATCHING)
        return True
