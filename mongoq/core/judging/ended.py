"""The errors that tell how a task ended, where it did not complete.

TaskNotCompleted (MongoqError)
├── TaskFailed                 its handler said so, its error is not retried, its workers were lost, ...
│   └── MaxRetriesExceeded     its last retry failed too
├── TaskCancelled
└── TaskExpired
"""

from __future__ import annotations

from typing import Any, Final

from mongoq.core.errors import MongoqError
from mongoq.core.lifecycle import TaskState
from mongoq.core.tasks.task import Failure, Task, TaskError

__all__ = ["MaxRetriesExceeded", "TaskCancelled", "TaskExpired", "TaskFailed", "TaskNotCompleted", "error_of"]


class TaskNotCompleted(MongoqError):
    """A task ended otherwise than completed; `task` is the task, its notes hold the traceback of the last error."""

    def __init__(self, task: Task) -> None:
        super().__init__(f"the task {task.key!r} of {task.queue!r} {_story(task)}")
        self.task = task
        if task.last_error is not None and task.last_error.traceback:
            self.add_note(task.last_error.traceback.rstrip())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.task,)

    @property
    def errors(self) -> tuple[TaskError, ...]:
        """The errors of its last ten attempts, the oldest first."""
        return self.task.errors


class TaskFailed(TaskNotCompleted):
    """The task has failed; `task.failure` says why."""


class MaxRetriesExceeded(TaskFailed):
    """The task has failed because its last retry failed too."""


class TaskCancelled(TaskNotCompleted):
    """The task was cancelled, by a caller or by its handler."""


class TaskExpired(TaskNotCompleted):
    """The task was not completed before `expires_at`."""


_ERRORS: Final = {
    TaskState.FAILED: TaskFailed,
    TaskState.CANCELLED: TaskCancelled,
    TaskState.EXPIRED: TaskExpired,
}


def error_of(task: Task) -> TaskNotCompleted | None:
    """The error that tells how a task ended; None where it completed, or has not ended."""
    if task.failure is Failure.EXHAUSTED and task.state is TaskState.FAILED:
        return MaxRetriesExceeded(task)
    kind = _ERRORS.get(task.state)
    return None if kind is None else kind(task)


def _story(task: Task) -> str:
    if task.state is TaskState.EXPIRED:
        return f"has expired at {task.expires_at}" if task.expires_at is not None else "has expired"
    if task.state is TaskState.CANCELLED:
        return f"was cancelled: {task.note}" if task.note else "was cancelled"
    times = "1 attempt" if task.charged == 1 else f"{task.charged} attempts"
    why = task.last_error and f"{task.last_error.type}: {task.last_error.message}"
    return f"has failed after {times}" + (f": {why or task.note}" if why or task.note else "")
