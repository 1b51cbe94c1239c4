"""What became of an attempt, as a test asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mongoq.core.judging.done import Done
from mongoq.core.judging.verdict import Raised, Returned, Verdict
from mongoq.core.lifecycle import TaskState
from mongoq.core.tasks.modification import Modification
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.task import Task
from mongoq.storage.documents.updates import state_after
from mongoq.worker.handlers.router import Router
from mongoq.worker.handlers.signature import Handler


@dataclass(frozen=True, slots=True)
class Ran:
    """One attempt: what its handler did, and what the task became by it."""

    task: Task
    """The task as its handler got it."""
    state: TaskState
    """Where the task stands after it: `completed`, or `scheduled` for a retry."""
    result: Any = None
    """What the handler returned; of a `Done` its result."""
    error: BaseException | None = None
    """What the handler raised."""
    run_at: datetime | None = None
    """When it runs again, where it does so later."""
    queue: str | None = None
    """Where it was moved to."""
    note: str | None = None
    """The reason that a signal gave."""
    modification: Modification | None = None
    """What is changed together with its end."""

    @property
    def then(self) -> tuple[NewTask, ...]:
        """The tasks that follow it."""
        return () if self.modification is None else tuple(self.modification.insert)


def ran(handler: Handler, task: Task, ending: object, verdict: Verdict) -> Ran:
    """What a test is told of an ending and its verdict."""
    return Ran(
        task,
        state_after(verdict),
        _result(handler, task, ending.value) if isinstance(ending, Returned) else None,
        ending.error if isinstance(ending, Raised) else None,
        verdict.run_at,
        verdict.queue,
        verdict.note,
        verdict.modification,
    )


def _result(handler: Handler, task: Task, value: object) -> object:
    """What was returned; of a task function that itself, not what is stored of it."""
    if isinstance(handler.function, Router):
        value = handler.function.returned(task, value)
    return value.result if isinstance(value, Done) else value
