"""The functions of a module, apart from any queue."""

from __future__ import annotations

from mongoq.functions.async_decorator import AsyncTaskDecorator
from mongoq.functions.decorator import TaskDecorator
from mongoq.functions.registry import Registry
from mongoq.scheduling.decorator import Cron

__all__ = ["AsyncTasks", "Tasks"]


class Tasks:
    """Task functions apart from any connection: a module that defines them needs no queue at its import.

        tasks = Tasks()

        @tasks.task
        def welcome(user: int) -> None: ...

        queue.include(tasks)

    Their calls go to the queue that included them last, until that one is closed.
    """

    def __init__(self) -> None:
        self._registry = Registry()

    @property
    def task(self) -> TaskDecorator:
        """Make task functions: `@tasks.task`, or with options `@tasks.task(max_retries=5)`."""
        return TaskDecorator(self._registry)

    @property
    def cron(self) -> Cron[TaskDecorator]:
        """Make task functions that are enqueued by time: `@tasks.cron("*/5 * * * *")`."""
        return Cron(self._registry, TaskDecorator)

    def include(self, tasks: Tasks) -> None:
        """Include the functions of other `Tasks`."""
        self._registry.include(tasks._registry)


class AsyncTasks:
    """`Tasks` for an `AsyncQueue`: their functions are enqueued by `await function.new(...)`."""

    def __init__(self) -> None:
        self._registry = Registry()

    @property
    def task(self) -> AsyncTaskDecorator:
        """Make task functions: `@tasks.task`, or with options `@tasks.task(max_retries=5)`."""
        return AsyncTaskDecorator(self._registry)

    @property
    def cron(self) -> Cron[AsyncTaskDecorator]:
        """Make task functions that are enqueued by time: `@tasks.cron("*/5 * * * *")`."""
        return Cron(self._registry, AsyncTaskDecorator)

    def include(self, tasks: AsyncTasks) -> None:
        """Include the functions of other `AsyncTasks`."""
        self._registry.include(tasks._registry)
