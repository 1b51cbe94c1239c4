"""The words of the trade, as frozen values: they import nothing but each other, and everything imports them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, make_dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from mongoq.core.keys import KeyMaker
from mongoq.core.lifecycle import FINISHED, TaskState
from mongoq.core.signals import DeadlineExceeded, Interrupted, Interruption
from mongoq.core.validation import UNSET, Duration, Unset, shortened, suggesting

if TYPE_CHECKING:
    from mongoq.core.modification import Change, TaskRef

__all__ = ["Attempt", "QueueStats", "Task", "TaskError", "TaskState", "WorkerInfo"]


@dataclass(frozen=True, slots=True)
class TaskError:
    """Why one attempt did not complete."""

    type: str
    """The name of the exception's class, or `WorkerLost` where the worker vanished."""
    message: str
    """Its text, at most 2,000 characters."""
    traceback: str
    """The end of its traceback, at most 8,000 characters; empty where there was none."""
    at: datetime
    """When, server time."""
    attempt: int
    """Which attempt."""
    worker: str
    """Where: `host:pid:random`."""


class Attempt(Protocol):
    """The live side of a task that a handler is running."""

    @property
    def interruption(self) -> Interruption | None:
        """Why the handler should stop, or None while it should not."""

    def time_left(self) -> float | None:
        """Seconds until the deadline, the end of the lease as this host counts it, or of a shutdown's grace."""


@dataclass(frozen=True, slots=True, repr=False)
class Task:
    """A task as it was read, or as a handler receives it. It does not change; ask the queue for news."""

    key: str
    """Its unique identifier."""
    queue: str
    """The line it stands in."""
    namespace: str
    """The set of collections it lives in."""
    state: TaskState
    """Where it stood when it was read."""
    priority: int
    """Higher is claimed first."""
    run_at: datetime
    """Not claimed before; the older first among equal priorities."""
    tags: Mapping[str, Any]
    """Its parameters."""
    payload: Any
    """Any further value, None where there is none."""
    created_at: datetime
    """When it was enqueued, server time."""
    modified_at: datetime
    """When it was last written, renewals left aside."""
    started_at: datetime | None
    """When it was last claimed."""
    finished_at: datetime | None
    """When it reached a final state."""
    expires_at: datetime | None
    """When it expires if it is not completed by then; None: never."""
    attempts: int
    """How often it was claimed; counted at the claim and never taken back."""
    uncharged: int
    """How many of these attempts do not count: released, snoozed, or lost with a worker that vanished."""
    retries: int
    """How many attempts failed."""
    last_error: TaskError | None
    """Why the last failed attempt failed."""
    errors: tuple[TaskError, ...]
    """The last ten of them, the oldest first."""
    result: Any
    """What the handler returned, while the completed task is kept."""
    note: str | None
    """The reason given by the handler's last signal."""
    moved_from: str | None
    """The queue it was moved from."""
    unique: str | None
    """At most one unfinished task has this value."""
    policy: Mapping[str, Any]
    """What it carries of the options of an attempt, where they differ from the library's defaults."""
    worker: str | None
    """Who holds it, or held it last: `host:pid:random`."""
    token: str | None
    """The proof of this claim; every write of its holder is refused without it."""
    lease_until: datetime | None
    """Until when it is held, server time."""
    lost_leases: int
    """How many leases in a row were lost."""
    cancel_requested: bool
    """Whether somebody asked its worker to stop."""
    version: int
    """Grows with every write that another could depend on."""
    read_at: datetime
    """The server's time when it was read."""
    attempt: Attempt | None = field(default=None, compare=False, repr=False)
    """Its live side; only a handler's own task has one."""

    def __repr__(self) -> str:
        tags = shortened(self.tags)
        return f"<Task {self.key!r} of {self.queue!r}: {self.state}, priority {self.priority}, tags {tags}>"

    def __hash__(self) -> int:
        return hash((self.namespace, self.key, self.version))

    def get(self, name: str, default: Any = None) -> Any:
        """The value of one tag, or `default`."""
        return self.tags.get(name, default)

    @staticmethod
    def new_key() -> str:
        """A key for a task that is yet to be made, so that other data can refer to it beforehand.

        Of the kind that tasks are given by default: unique everywhere, ordered by this host's time.
        """
        return KeyMaker()(datetime.now(UTC))

    @property
    def ref(self) -> TaskRef:
        """This task at this version, for an atomic change; with the proof of the claim, where this is one."""
        from mongoq.core.modification import TaskRef  # noqa: PLC0415 -- a producer is spared the atomic change

        return TaskRef(self.key, self.version, self.token)

    @suggesting
    def as_change(
        self,
        *,
        queue: str | Unset = UNSET,
        delay: Duration | Unset = UNSET,
        run_at: datetime | Unset = UNSET,
        priority: int | Unset = UNSET,
        tags: Mapping[str, Any] | Unset = UNSET,
        payload: Any = UNSET,
        expires_at: datetime | Unset | None = UNSET,
    ) -> Change:
        """For `modify(change=[...])`: what is to become of this task; what is not given stays.

        `payload=None` and `expires_at=None` take them away; `tags` replaces all tags. A new queue, `delay` or
        `run_at` is an arrival: a task that you hold is given up by it, the attempt not charged. Raises InvalidTask.
        """
        from mongoq.core.modification import Change  # noqa: PLC0415 -- as above

        return Change(self.ref, queue, delay, run_at, priority, tags, payload, expires_at)

    def as_delete(self) -> TaskRef:
        """For `modify(delete=[...])`: the same as `ref`."""
        return self.ref

    def as_depend(self) -> TaskRef:
        """For `modify(depend=[...])`: the same as `ref`."""
        return self.ref

    @property
    def age(self) -> timedelta:
        """How old it was when it was read."""
        return self.read_at - self.created_at

    @property
    def finished(self) -> bool:
        """Whether it had reached a final state."""
        return self.state in FINISHED

    @property
    def charged(self) -> int:
        """How many attempts count against `max_retries`."""
        return self.attempts - self.uncharged

    @property
    def cancelled(self) -> bool:
        """Whether the running handler should stop now; `interruption` says why.

        It turns True at the deadline, at a cancel request (within 2 s), when the lease is lost and when the
        worker shuts down. A handler that then returns has *completed* its task: raise instead, best with
        `raise_if_cancelled()`.
        """
        return self.interruption is not None

    @property
    def interruption(self) -> Interruption | None:
        """Why the running handler should stop: a deadline, a cancel request, a lost lease, a shutdown."""
        return self.attempt.interruption if self.attempt else None

    def time_left(self) -> float | None:
        """Seconds this attempt may still run, 0 when it should have stopped, None without a limit."""
        return self.attempt.time_left() if self.attempt else None

    def raise_if_cancelled(self) -> None:
        """Raise `Interrupted` (or `DeadlineExceeded`) where the handler should stop; cheap in a loop."""
        reason = self.interruption
        if reason is Interruption.DEADLINE:
            raise DeadlineExceeded
        if reason is not None:
            raise Interrupted(reason)


_Draft = make_dataclass("_Draft", [item.name for item in fields(Task)], slots=True, eq=False, repr=False)
"""A task that may still be written to: of the same layout, and not frozen."""


def task_of(*values: Any) -> Task:
    """A task from the values of its fields in their order, the live side last: what `Task(...)` makes, sooner.

    A frozen dataclass sets each field by a call: 3.1 µs for a task, against 0.6 for a draft that becomes one.
    """
    draft: Any = _Draft(*values)
    draft.__class__ = Task
    return draft  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class QueueStats:
    """How many tasks of one queue stand where, and how long the oldest ready one has waited."""

    queue: str
    ready: int = 0
    scheduled: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0
    expired: int = 0
    cancelled: int = 0
    oldest_ready: timedelta | None = None
    """How long the oldest ready task has been due; None where none is ready."""
    most_attempts: int | None = None
    """The highest count of attempts among the unfinished tasks; None where it was not asked for."""

    @property
    def size(self) -> int:
        """How many tasks are not finished."""
        return self.ready + self.scheduled + self.running


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """One worker process of the fleet, as its last heartbeat showed it."""

    id: str
    """`host:pid:random`."""
    host: str
    pid: int
    queues: tuple[str, ...]
    """What it works on."""
    workers: int
    """How many handlers it runs at once."""
    running: int
    """How many tasks it held."""
    started_at: datetime
    seen_at: datetime
    """Its last heartbeat, server time; one every 5 s, 10 s while idle; forgotten after 60 s."""

    def silent(self, now: datetime | None = None) -> timedelta:
        """How long ago the last heartbeat was, at `now` (server time)."""
        return (now or datetime.now(UTC)) - self.seen_at
