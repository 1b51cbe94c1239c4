"""The events that a queue tells its listeners, one frozen class each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from mongoq.core.lifecycle import TaskState
from mongoq.core.tasks.task import Failure, Task, TaskError

__all__ = [
    "AttemptEnded",
    "AttemptFailed",
    "AttemptLost",
    "AttemptStarted",
    "AttemptSucceeded",
    "EndingRefused",
    "QueueEvent",
    "ServerBack",
    "ServerLost",
    "TaskEnded",
    "TasksSwept",
    "WorkerStarted",
    "WorkerStopped",
]


@dataclass(frozen=True, slots=True)
class QueueEvent:
    """The base of all events: a listener for it gets every event."""


@dataclass(frozen=True, slots=True)
class WorkerStarted(QueueEvent):
    """A worker has begun to claim tasks."""

    worker: str
    """Its name in the fleet: `host:pid:random`."""


@dataclass(frozen=True, slots=True)
class WorkerStopped(QueueEvent):
    """A worker has ended."""

    worker: str
    error: BaseException | None = None
    """What ended it: a handler's `Stop`, or a refused change under `on_dependency_error="stop"`."""


@dataclass(frozen=True, slots=True)
class AttemptStarted(QueueEvent):
    """A handler starts."""

    task: Task


@dataclass(frozen=True, slots=True)
class AttemptEnded(QueueEvent):
    """A handler has ended, or a task was released unstarted. The ending is decided, but not written yet."""

    task: Task
    """The task as its handler got it."""
    how: str
    """What becomes of the task: `complete`, `retry`, `fail`, `snooze`, `release`, `move`, `cancel` or `expire`."""
    run_at: datetime | None
    """When it runs again; None if it does not, or is ready at once."""
    note: str | None
    """The reason given by the signal that the handler raised."""


@dataclass(frozen=True, slots=True)
class AttemptSucceeded(AttemptEnded):
    """A handler has returned."""

    result: Any


@dataclass(frozen=True, slots=True)
class AttemptFailed(AttemptEnded):
    """A handler has raised an error; `failure` says whether its task has failed for good."""

    error: TaskError
    failure: Failure | None
    """Why the task has failed; None where it runs again."""


@dataclass(frozen=True, slots=True)
class AttemptLost(QueueEvent):
    """The lease of a running task was lost: its handler's ending will be refused."""

    key: str


@dataclass(frozen=True, slots=True)
class EndingRefused(QueueEvent):
    """An ending was refused, because of the change or the result that its handler returned."""

    task: Task
    error: BaseException


@dataclass(frozen=True, slots=True)
class TaskEnded(QueueEvent):
    """A task has reached a final state, and that is written: one of this object's workers ran it.

    Or their sweep ended it as failed, because its workers were lost one after another.
    """

    task: Task
    """The task as its handler got it."""
    state: TaskState
    result: Any
    error: TaskError | None
    """The error of its last attempt, where that failed."""
    failure: Failure | None
    note: str | None

    def whole(self) -> Task:
        """The task as it has ended."""
        task, error = self.task, self.error
        errors = task.errors if error is None else (*task.errors, error)
        return replace(
            task, state=self.state, result=self.result, failure=self.failure, note=self.note or task.note,
            last_error=error or task.last_error, errors=errors, attempt=None,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class TasksSwept(QueueEvent):
    """A sweep has changed tasks: it counts those that became due, were taken from lost workers, or have expired.

    `ticked` counts the tasks that schedules enqueued, `flow` children and batches that a crash had left parked, and
    `limits` tasks that were released because a limit has room.
    """

    promoted: int
    rescued: int
    expired: int
    ticked: int = 0
    flow: int = 0
    limits: int = 0


@dataclass(frozen=True, slots=True)
class ServerLost(QueueEvent):
    """MongoDB does not answer; the workers go on trying."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class ServerBack(QueueEvent):
    """MongoDB answers again."""

    seconds: float
    """How long it did not."""
