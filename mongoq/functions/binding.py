"""How the functions of a queue reach it: their calls are enqueued in the queue's own tempo."""

from __future__ import annotations

from typing import Any

from mongoq.api.base import Base
from mongoq.api.gathering.gathered import enqueued
from mongoq.core.errors import ConfigurationError, Fault
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.validation import shortened
from mongoq.functions.definition import Definition
from mongoq.functions.handle import AsyncTaskHandle, Inside, TaskHandle
from mongoq.functions.registry import Registry
from mongoq.functions.tasks import AsyncTasks, Tasks
from mongoq.storage.commands import Op


class Binding:
    """The queue that the calls of some functions go to."""

    def __init__(self, queue: Any, base: Base, *, awaited: bool) -> None:
        self.queue = queue
        self._base = base
        self._kind: Any = AsyncTaskHandle if awaited else TaskHandle

    def __call__(self, definition: Definition, task: NewTask) -> Any:
        """Enqueue a call: a handle, or of an awaited queue what brings it."""
        return self._base.driver.run(self._handled(definition, task))

    def _handled(self, definition: Definition, task: NewTask) -> Op[Any]:
        made = yield from enqueued(self._base, task)
        return self._kind(Inside(self._base, definition, made))


def registry_of(tasks: Any) -> Registry:
    """The functions of `Tasks` or of a queue."""
    if isinstance(tasks, Tasks | AsyncTasks):
        return tasks._registry  # noqa: SLF001 -- what only its user has no use for
    base = getattr(tasks, "_base", None)
    if not isinstance(base, Base):
        allowed = "Tasks, whose functions are to be run, or a queue that has some"
        raise ConfigurationError([Fault("tasks", shortened(tasks), allowed)])
    return base.functions
