"""How the functions of a queue reach it: their calls are enqueued in the queue's own tempo."""

from __future__ import annotations

from typing import Any

from mongoq.api.base import Base
from mongoq.api.producing import enqueued
from mongoq.core.errors import ConfigurationError, Fault
from mongoq.core.new_task import NewTask
from mongoq.core.validation import shortened
from mongoq.functions.definition import Definition
from mongoq.functions.handle import AsyncTaskHandle, Inside, TaskHandle
from mongoq.functions.registry import Registry
from mongoq.functions.tasks import AsyncTasks, Tasks
from mongoq.storage.commands import Op


def bind(base: Base, *, awaited: bool) -> None:
    """Let the functions of a queue enqueue their calls in it; where it is awaited, each call is to be awaited."""
    kind: Any = AsyncTaskHandle if awaited else TaskHandle

    def enqueue(definition: Definition, task: NewTask) -> Any:
        return base.driver.run(_handled(base, definition, task, kind))

    base.functions.bind(enqueue)


def _handled(base: Base, definition: Definition, task: NewTask, kind: Any) -> Op[Any]:
    made = yield from enqueued(base, task)
    return kind(Inside(base, definition, made))


def registry_of(tasks: Any) -> Registry:
    """The functions of `Tasks` or of a queue."""
    if isinstance(tasks, Tasks | AsyncTasks):
        return tasks._registry  # noqa: SLF001 -- what only its user has no use for
    base = getattr(tasks, "_base", None)
    if not isinstance(base, Base):
        allowed = "Tasks, whose functions are to be run, or a queue that has some"
        raise ConfigurationError([Fault("tasks", shortened(tasks), allowed)])
    return base.functions
