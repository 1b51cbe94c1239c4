"""A task, as a frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mongoq.core.host.keys import KeyMaker, tick_of
from mongoq.core.lifecycle import FINISHED, TaskState
from mongoq.core.signals import DeadlineExceeded, Interrupted, Interruption
from mongoq.core.tasks.attempt import Attempt, Failure, TaskError
from mongoq.core.tasks.progress import TaskProgress
from mongoq.core.tasks.read_only import PartlyRead
from mongoq.core.validation import UNSET, Duration, Unset, shortened, suggesting

if TYPE_CHECKING:
    from mongoq.core.tasks.modification import Change, TaskRef
    from mongoq.core.tasks.new_task import NewTask

__all__ = ["Attempt", "Failure", "Task", "TaskError", "TaskState"]


@dataclass(frozen=True, slots=True, repr=False)
class Task(PartlyRead):
    """A task as it was read, or as a handler receives it. It never changes; call `queue.get` for its present state."""

    key: str
    """Its unique identifier."""
    queue: str
    """The name of its queue."""
    namespace: str
    """The namespace of its queue: the prefix of the collections."""
    name: str | None
    """The name of the task function that runs it, with `@` and its revision where it has one; None: any handler."""
    state: TaskState
    """Its state when it was read."""
    priority: int
    """Higher priorities are claimed first."""
    run_at: datetime
    """It is not claimed before this instant. Among equal priorities the earlier `run_at` is claimed first."""
    tags: Mapping[str, Any]
    """Its parameters; read-only."""
    payload: Any
    """A further value of any kind; None: there is none."""
    context: Mapping[str, Any]
    """What its producer carries to its handler: trace ids, a tenant; read-only."""
    created_at: datetime
    """When it was enqueued, server time."""
    modified_at: datetime
    """When it was last changed; renewals do not count."""
    started_at: datetime | None
    """When it was last claimed."""
    finished_at: datetime | None
    """When it reached a final state."""
    expires_at: datetime | None
    """When it expires, if it has not completed; None: never."""
    attempts: int
    """How often it was claimed. It grows at each claim and never shrinks."""
    uncharged: int
    """How many of these attempts were refunded: released, snoozed, or lost with a worker."""
    retries: int
    """How many attempts failed."""
    last_error: TaskError | None
    """The error of the last failed attempt."""
    errors: tuple[TaskError, ...]
    """The errors of the last ten failed attempts, the oldest first."""
    failure: Failure | None
    """Why it has failed, or came to its error queue; None where it has not."""
    result: Any
    """The handler's result, while the completed task is kept."""
    note: str | None
    """The reason given by the handler's last signal."""
    progress: TaskProgress | None
    """What its handler has said by `attempt.progress` and `attempt.log`; None: nothing."""
    moved_from: str | None
    """The queue that it was moved from."""
    unique: str | None
    """A value that at most one unfinished task has."""
    parents: tuple[str, ...]
    """The keys of the tasks that it was enqueued to run after."""
    on_parent_failure: str | None
    """What becomes of it where a parent does not complete: `cancel`, `run` or `wait`; None: it has no parents."""
    children: bool
    """Whether tasks were enqueued to run after it."""
    batch: str | None
    """The key of the batch that it is a member of."""
    limits: Mapping[str, Any]
    """The limits that it is under, by name, each with the weight of this task."""
    waits_for: str | None
    """The group of a limit in which it needs room; None: it waits for none."""
    policy: Mapping[str, Any]
    """The options of its attempts that differ from the library's defaults."""
    worker: str | None
    """The claimant that holds it, or held it last: `host:pid:random`."""
    token: str | None
    """The token of this claim: the holder's writes are accepted only with it. None for a task that was only read."""
    lease_until: datetime | None
    """When its lease ends, server time."""
    lost_leases: int
    """How many leases in a row were lost."""
    cancel_requested: bool
    """Whether a cancel was requested while it was running."""
    version: int
    """Grows with every change; renewals, cancel requests and dependencies do not count."""
    read_at: datetime
    """The server's time when it was read."""
    attempt: Attempt | None = field(default=None, compare=False, repr=False)
    """The live attempt; None except for the task that a handler receives."""

    def __repr__(self) -> str:
        tags = shortened(self.tags)
        return f"<Task {self.key!r} of {self.queue!r}: {self.state}, priority {self.priority}, tags {tags}>"

    if not TYPE_CHECKING:  # a type checker would take every misspelt name for one of these

        def __getattr__(self, name: str) -> Any:
            # Python calls this for a slot without a value, as `reading.partly_read` leaves them.
            if name not in Task.__dataclass_fields__:
                raise AttributeError(f"a Task has no attribute {name!r}")
            self._read_rest(self)
            return object.__getattribute__(self, name)

    def __hash__(self) -> int:
        return hash((self.namespace, self.key, self.version))

    def get(self, name: str, default: Any = None) -> Any:
        """The value of one tag, or `default`."""
        return self.tags.get(name, default)

    @staticmethod
    def new_key() -> str:
        """Make a key, unique everywhere and sorted by this host's time, to refer to a task before it is enqueued."""
        return KeyMaker()(datetime.now(UTC))

    @property
    def ref(self) -> TaskRef:
        """This task at this version, for an atomic change; with the claim's token, if it was claimed."""
        from mongoq.core.tasks.modification import TaskRef  # noqa: PLC0415 -- producers do not need it

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
        """Make a change of this task for `modify(change=[...])`; values that are not given stay.

        `payload=None` and `expires_at=None` remove the value; `tags` replaces all tags. With `queue`, `delay` or
        `run_at` a task that you hold is released, uncharged.

        Raises:
            InvalidTask: a value is not acceptable.
        """
        from mongoq.core.tasks.modification import Change  # noqa: PLC0415 -- as above

        return Change(self.ref, queue, delay, run_at, priority, tags, payload, expires_at)

    def as_delete(self) -> TaskRef:
        """The same as `ref`, for `modify(delete=[...])`."""
        return self.ref

    def as_depend(self) -> TaskRef:
        """The same as `ref`, for `modify(depend=[...])`."""
        return self.ref

    def again(self, **changes: Any) -> NewTask:
        """Make a new task with tags, payload, context, queue, priority, `unique` value and policy of this one.

        `changes` are options of `NewTask`, each in place of the old value: `task.again(priority=9, delay=60)`. The key
        is a fresh one, and it is due now and expires as the queue says, unless `changes` say otherwise. Give it to
        `queue.new`, `new_many` or `modify(insert=[...])`, or return it from a handler. A value that is not acceptable
        is an InvalidTask, an option that `NewTask` does not have a TypeError.
        """
        from mongoq.core.serial import task_dict  # noqa: PLC0415 -- as above

        return task_dict.again(self, changes)

    def to_dict(self, *, token: bool = False) -> dict[str, Any]:
        """Make a dict of all fields, in types that JSON carries: `Task.from_dict` makes the same task of it.

        Instants are ISO 8601 in UTC. What JSON has no type for is written as in MongoDB's Extended JSON, such as
        `{"$date": ...}`; a rare BSON type without a form in JSON is an InvalidTask that names its path. With `token` it
        holds the proof of the claim: who reads it may end the task.
        """
        from mongoq.core.serial import task_dict  # noqa: PLC0415 -- as above

        return task_dict.to_dict(self, token=token)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Task:
        """Make the task of a `to_dict`, even after JSON; InvalidTask lists what is unknown, missing or mistyped."""
        from mongoq.core.serial import task_dict  # noqa: PLC0415 -- as above

        return task_dict.from_dict(values)

    @property
    def age(self) -> timedelta:
        """Its age when it was read."""
        return self.read_at - self.created_at

    @property
    def finished(self) -> bool:
        """Whether it had reached a final state."""
        return self.state in FINISHED

    @property
    def tick(self) -> datetime | None:
        """The instant of its schedule that it was enqueued for, however late it runs; None: it has none."""
        return tick_of(self.key)

    @property
    def charged(self) -> int:
        """How many attempts count against `max_retries`."""
        return self.attempts - self.uncharged

    @property
    def cancelled(self) -> bool:
        """Whether the running handler should stop now; `interruption` says why.

        It becomes True at the deadline, within 2 s of a cancel request, when the lease is lost and when the worker
        shuts down. A handler that returns then *completes* its task; call `raise_if_cancelled()` instead.
        """
        return self.interruption is not None

    @property
    def interruption(self) -> Interruption | None:
        """Why the running handler should stop: a deadline, a cancel request, a lost lease, a shutdown."""
        return self.attempt.interruption if self.attempt else None

    def time_left(self) -> float | None:
        """Seconds for which this attempt may still run; 0 when it should have stopped, None without a limit."""
        return self.attempt.time_left() if self.attempt else None

    def raise_if_cancelled(self) -> None:
        """Raise `Interrupted` or `DeadlineExceeded` when the handler should stop; cheap enough for a loop."""
        reason = self.interruption
        if reason is Interruption.DEADLINE:
            raise DeadlineExceeded
        if reason is not None:
            raise Interrupted(reason)
