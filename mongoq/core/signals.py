"""The exceptions that a handler raises to steer its own task, and those raised in it to stop it.

Signal                  raised by the handler; not an error
├── Stop                end this worker's run with this error; the task is released, and this attempt does not count
├── Retry               count this attempt as failed and try again, after a delay of its choice
├── Snooze              run again later; this attempt does not count
├── Fail                end as failed now, without further retries
├── Cancel              end as cancelled
└── Move                send the task to another queue
Interrupted             raised in the handler; a BaseException, so that `except Exception` lets it pass
└── DeadlineExceeded    the attempt ran longer than its deadline
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

from mongoq.core.validation import QUEUE_NAME, Checker, Duration

__all__ = [
    "Cancel",
    "DeadlineExceeded",
    "Fail",
    "Interrupted",
    "Interruption",
    "Move",
    "Retry",
    "Signal",
    "Snooze",
    "Stop",
]


class Signal(Exception):
    """The base class of the exceptions by which a handler steers its task.

    Its `reason` is kept with the task, as its error or its note. As the cause of another exception it counts as well.
    """

    reason = ""
    """A class attribute, so that it exists even if a subclass does not call this `__init__`."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (type(self), self.args, self.__dict__)


class Retry(Signal):
    """Count this attempt as failed and try again after `delay`; without one, after the backoff.

    It is retried whatever `retry_on` and `no_retry_on` say, but no more often than `max_retries`.
    """

    delay: timedelta | None = None

    def __init__(self, reason: str = "", *, delay: Duration | None = None) -> None:
        super().__init__(reason)
        self.delay: timedelta | None = None if delay is None else _checked(delay)


class Snooze(Signal):
    """Run the task again after `delay`; the attempt is not charged."""

    def __init__(self, delay: Duration, reason: str = "") -> None:
        super().__init__(reason)
        self.delay = _checked(delay)


class Fail(Signal):
    """End the task as failed now, without further retries."""


class Cancel(Signal):
    """End the task as cancelled, now; it is kept for `keep_failed`."""


class Move(Signal):
    """Put the task into `queue`, ready, with a fresh count of attempts there."""

    def __init__(self, queue: str, reason: str = "") -> None:
        super().__init__(reason)
        checker = Checker()
        checker.matching("queue", queue, QUEUE_NAME)
        checker.finish()
        self.queue = queue


class Stop(Signal):
    """End this worker: its `run` raises this error. The task is released; the attempt is not charged.

    For a worker that cannot do its work: a wrong password, a full disk. Handlers that run get the grace. Another worker
    may claim the task at once: a task that makes each of them raise `Stop` ends them all, so raise `Fail` where the
    task is at fault.
    """


class Interruption(StrEnum):
    """Why a running handler should stop."""

    DEADLINE = "deadline"
    """The attempt ran longer than its deadline."""
    CANCEL = "cancel"
    """A cancel was requested."""
    LEASE_LOST = "lease lost"
    """Another worker took the task, or its lease could not be renewed in time."""
    SHUTDOWN = "shutdown"
    """The worker is stopping."""


class Interrupted(BaseException):
    """Raised in a handler by `task.raise_if_cancelled()`; `reason` is an `Interruption`.

    Do not catch it: the worker then releases the task uncharged at a shutdown, and cancels it after a cancel request.
    """

    def __init__(self, reason: Interruption) -> None:
        super().__init__(f"the attempt should stop: {reason.value}")
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (type(self), self.args, self.__dict__)


class DeadlineExceeded(Interrupted):
    """The attempt ran longer than its deadline. Do not catch it: the attempt then counts as failed.

    It is raised in the handler's thread when that thread next runs Python code: a call that blocks outside Python (a
    socket without a timeout, a long regular expression) is not interrupted. A coroutine is cancelled instead: its
    `await` raises `asyncio.CancelledError`.
    """

    def __init__(self) -> None:
        super().__init__(Interruption.DEADLINE)


def _checked(delay: Duration) -> timedelta:
    checker = Checker()
    checked = checker.duration("delay", delay)
    checker.finish()
    return checked or timedelta(0)


def _remade(kind: type[BaseException], args: tuple[Any, ...], attributes: Mapping[str, Any]) -> BaseException:
    """Unpickle a signal with its attributes; by default only `args`, the reason, would be restored."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error
