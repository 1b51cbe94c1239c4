"""The messages between a child and its parent, and the live side of the task that runs in the child."""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import IntEnum

from mongoq.core.clock import elapsed
from mongoq.core.signals import Interruption, Snooze
from mongoq.worker.attempt import FOREVER, LONGEST_RENEWAL, meant


class Down(IntEnum):
    """The messages of the control pipe. Each starts with its kind and the number of a task."""

    INTERRUPT = 0
    """The reason, seconds left or None: the handler should stop."""
    RECALL = 1
    """Return the tasks up to this one that have not started."""
    PAUSED = 2
    """Seconds: the renewals of the lease are paused, and it lasts so long."""


class Up(IntEnum):
    """The messages from the child. Each starts with its kind."""

    READY = 0
    """The handler is imported."""
    BROKEN = 1
    """The handler cannot be imported; the reason, as a `Described`."""
    RETURNED = 2
    """The pickled result, or None."""
    RAISED = 3
    """The pickled error, and its cause as a `Described` or None."""
    UNSTARTED = 4
    """The numbers of the first and the last task that were recalled in time."""
    PAUSE = 5
    """Pause the renewals of the lease: the handler opens a transaction of its own."""
    RENEWED = 6
    """Until when on `elapsed()`: the lease was renewed for the transaction."""
    RESUME = 7
    """Whether the transaction was committed, which completes the task."""


class ChildAttempt:
    """The live side of a task in a child. Implements `Attempt`."""

    __slots__ = ("_again", "_interruption", "_lasts", "_limit", "_paused", "_send", "deadline_at", "number", "struck")

    def __init__(self, number: int, deadline: float | None, send: Callable[..., None]) -> None:
        self.number = number
        self.deadline_at = FOREVER if deadline is None else elapsed() + deadline
        self.struck = False
        """Whether `DeadlineExceeded` was raised in its handler."""
        self._limit = FOREVER
        self._interruption: Interruption | None = None
        self._again: Snooze | None = None
        self._paused = threading.Event()
        self._lasts = 0.0
        self._send = send

    @property
    def interruption(self) -> Interruption | None:
        """Why the handler should stop, or None while it should not."""
        if self._interruption is None and elapsed() >= self.deadline_at:
            self._interruption = Interruption.DEADLINE
        return self._interruption

    def time_left(self) -> float | None:
        """Seconds until it should have stopped; None without a limit."""
        reason = self.interruption
        if reason is not None and reason is not Interruption.SHUTDOWN:
            return 0.0
        limit = min(self.deadline_at, self._limit)
        return None if limit == FOREVER else max(0.0, limit - elapsed())

    def interrupt(self, reason: Interruption, left: float | None) -> None:
        """Tell the handler to stop, within `left` seconds where there is a limit; the first reason stays."""
        if self._interruption is None:
            self._interruption = reason
        if left is not None:
            self._limit = min(self._limit, elapsed() + left)

    # A handler's own transaction. `ChildProcess._transaction` is the other end.

    def pause(self) -> float:
        """Have the parent pause the renewals of the lease; the seconds that the lease lasts without one."""
        self._again = None
        self._send(Up.PAUSE)
        return self._lasts if self._paused.wait(LONGEST_RENEWAL) else 0.0

    def paused(self, lasts: float) -> None:
        """Note that renewals are paused, and that the lease lasts so many seconds."""
        self._lasts = lasts
        self._paused.set()

    def renewed(self, until: float) -> None:
        """Tell the parent that the lease lasts until then."""
        self._send(Up.RENEWED, until)

    def resume(self, *, committed: bool, again: Snooze | None = None) -> None:
        """Tell the parent how the transaction ended."""
        self._again = again
        self._paused.clear()
        self._send(Up.RESUME, committed)

    def meant(self, error: BaseException) -> BaseException:
        """What an error of the handler stands for."""
        return meant(error, self._again)
