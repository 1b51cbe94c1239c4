"""The messages between a child and its parent, and the live side of the task that runs in the child."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import fields
from enum import IntEnum
from operator import attrgetter
from typing import Any, Final

from mongoq.core.clock import elapsed
from mongoq.core.judging.steering import effective_error
from mongoq.core.signals import Interruption, Snooze
from mongoq.core.tasks.progress import LONGEST_LINE, checked_progress, shown
from mongoq.core.tasks.read_only import EMPTY, ReadOnly
from mongoq.core.tasks.task import Task
from mongoq.worker.attempt import FOREVER
from mongoq.worker.executors.batch import Batch, Work

GONE: Final = (OSError, EOFError, pickle.UnpicklingError)
"""What reading from a child raises where it has ended, also in the middle of a message."""
# All that a task has but its live side, which stays here.
VALUES: Final = attrgetter(*[field.name for field in fields(Task) if field.name != "attempt"])


def sent(work: Work) -> tuple[Any, ...]:
    """What a child needs: the values of a task, and those of its parents; of a batch None, and these of each."""
    if isinstance(work, Batch):
        return None, [sent(one) for one in work.members]
    return VALUES(work.task), [VALUES(parent) for parent in work.parents.values()]


def received(values: tuple[Any, ...], parents: list[tuple[Any, ...]]) -> tuple[Task, Mapping[str, Task]]:
    """The task and its parents, in the child."""
    tasks = [Task(*parent) for parent in parents]
    return Task(*values), ReadOnly({one.key: one for one in tasks}) if tasks else EMPTY


class Down(IntEnum):
    """The messages of the control pipe. Each starts with its kind and the number of a task."""

    INTERRUPT = 0
    """The reason, seconds left or None: the handler should stop. Of one task of a batch, its place too."""
    RECALL = 1
    """Return the tasks up to this one that have not started."""


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
    TRANSACTION_BEGINS = 5
    """Until when on `elapsed()` the lease is being extended, for a transaction of the handler's own."""
    TRANSACTION_ENDS = 6
    """Whether it was committed, which completes the task, and whether the lease was extended."""
    TRANSACTION_OPENS = 7
    """The session of the transaction, which is open now."""
    LOG = 8
    """A log line: the attributes of its record."""
    PROGRESS = 9
    """A value and a message, checked."""
    SAID = 10
    """A line for the log of the task."""
    OF_MEMBER = 11
    """The place of a task in its batch, and what is told of it."""
    TOGETHER = 12
    """The outcome of each task of a batch, pickled."""
    TRACE = 13
    """The span of an attempt as a `traceparent`."""


class ChildAttempt:
    """The live side of a task in a child. Implements `Attempt`."""

    __slots__ = (
        "_interruption",
        "_limit",
        "_retry_as",
        "_send",
        "_trace",
        "deadline_at",
        "deadline_raised",
        "key",
        "number",
        "parents",
        "state",
        "task",
    )
    task: Task
    """The task, while its handler runs."""

    def __init__(self, number: int, deadline: float | None, send: Callable[..., None], key: str = "") -> None:
        self.key = key
        self.parents: Mapping[str, Task] = EMPTY
        """The tasks that it ran after."""
        self.state: Any = None
        """What the queue's lifespan has yielded in this child."""
        self.number = number
        self.deadline_at = FOREVER if deadline is None else elapsed() + deadline
        self.deadline_raised = False
        """Whether `DeadlineExceeded` was raised in its handler."""
        self._limit = FOREVER
        self._interruption: Interruption | None = None
        self._retry_as: Snooze | None = None
        self._trace: str | None = None
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

    def progress(self, value: float | None = None, message: str | None = None) -> None:
        """Say how far the work is: see `core.attempt.Attempt`."""
        self._send(Up.PROGRESS, *checked_progress(value, message))

    def log(self, text: object) -> None:
        """Add a line to the log of this attempt."""
        self._send(Up.SAID, shown(text, LONGEST_LINE))

    @property
    def unwritten(self) -> None:
        """None: the parent has it."""

    @property
    def trace(self) -> str | None:
        """The span of it, where somebody traces it."""
        return self._trace

    @trace.setter
    def trace(self, trace: str | None) -> None:
        self._trace = trace
        self._send(Up.TRACE, trace)

    # A handler's own transaction. `heard` is the other end.

    @property
    def lease_left(self) -> float:
        """0: only the parent knows how long the lease lasts."""
        return 0.0

    def begin_transaction(self, lease_until: float) -> None:
        """Have the parent leave the lease alone, which is being extended until then."""
        self._retry_as = None
        self._send(Up.TRANSACTION_BEGINS, lease_until)

    def note_session(self, session_id: bytes) -> None:
        """Tell the parent the session, so that it can have the transaction aborted."""
        self._send(Up.TRANSACTION_OPENS, session_id)

    def end_transaction(self, *, committed: bool, extended: bool = True, retry_as: Snooze | None = None) -> None:
        """Tell the parent how the transaction ended."""
        self._retry_as = retry_as
        self._send(Up.TRANSACTION_ENDS, committed, extended)

    def effective_error(self, error: BaseException) -> BaseException:
        """What an error of the handler stands for."""
        return effective_error(error, self._retry_as)


def heard(attempt: Work, kind: Up, *told: Any) -> None:
    """Note in the parent what its child tells of an attempt: progress, and what a transaction does to the lease."""
    if isinstance(attempt, Batch):
        place, kind, *rest = told
        heard(attempt.members[place], kind, *rest)
    elif kind == Up.PROGRESS:
        attempt.progress(*told)
    elif kind == Up.SAID:
        attempt.log(*told)
    elif kind == Up.TRACE:
        (attempt.trace,) = told
    elif kind == Up.TRANSACTION_BEGINS:
        attempt.begin_transaction(*told)
    elif kind == Up.TRANSACTION_OPENS:
        attempt.note_session(*told)
    elif kind == Up.TRANSACTION_ENDS:
        committed, extended = told
        attempt.end_transaction(committed=committed, extended=extended)
