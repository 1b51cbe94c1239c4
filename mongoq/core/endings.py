"""The errors of whoever asks for the result of a task that has none: it has ended, and not by completing."""

from __future__ import annotations

from typing import Any

from mongoq.core.errors import MongoqError
from mongoq.core.task import Task

__all__ = ["TaskCancelled", "TaskExpired", "TaskFailed"]


class _Ended(MongoqError):
    """A task that has no result, as it has not completed; `task` is as it stands."""

    how = "has ended"

    def __init__(self, task: Task) -> None:
        super().__init__(f"the task {task.key!r} of {task.queue!r} {self.how}{_told(task)}")
        self.task = task

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.task,)


class TaskFailed(_Ended):
    """The task has failed: `task.last_error` says why, `task.errors` what each attempt met."""

    how = "has failed"


class TaskCancelled(_Ended):
    """The task was cancelled; `task.note` may say why."""

    how = "was cancelled"


class TaskExpired(_Ended):
    """The task was not completed before its `expires_at`, or the `max_age` of its queue."""

    how = "has expired"


def _told(task: Task) -> str:
    """Why a task ended, as far as it says so."""
    error = task.last_error
    why = "" if error is None else f": {error.type}: {error.message}" if error.message else f": {error.type}"
    tries = f" after {task.attempts} attempts" if task.attempts > 1 else ""
    return f"{tries}{why}" if why or not task.note else f"{tries}: {task.note}"
