"""The handler of a worker with task functions: it finds the function of a task by name.

It is pickled as the names of its functions, so that a child process imports their modules and finds the same ones.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Iterable
from typing import Any

from mongoq.core.errors import InvalidTask
from mongoq.core.task import Task

log = logging.getLogger("mongoq.worker")


class Router:
    """Runs plain functions, each for the tasks of its names."""

    def __init__(self, functions: Iterable[Any]) -> None:
        self._functions = tuple(functions)
        self._by_name = {
            name: function.definition for function in self._functions for name in function.definition.names
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tasks that it runs."""
        return tuple(self._by_name)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._functions,)

    def __repr__(self) -> str:
        return f"the task functions {', '.join(self._by_name)}"

    def __call__(self, task: Task) -> Any:
        """Call the function of a task; what is stored as its result."""
        definition = self._found(task)
        return _stored(definition, definition.call(task))

    def _found(self, task: Task) -> Any:
        return self._by_name[task.name]  # claims ask for these names only


class AsyncRouter(Router):
    """Runs coroutine functions on the event loop, and plain ones in threads beside it."""

    async def __call__(self, task: Task) -> Any:
        """Call the function of a task; what is stored as its result."""
        definition = self._found(task)
        if definition.awaited:
            return _stored(definition, await definition.call(task))
        return _stored(definition, await _in_thread(definition, task))


async def _in_thread(definition: Any, task: Task) -> Any:
    """Call a plain function beside the loop. Cancelled, it is waited for all the same: it cannot be stopped."""
    running = asyncio.ensure_future(asyncio.to_thread(definition.call, task))
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None and running.exception() is None and inspect.iscoroutine(running.result()):
        running.result().close()
    if cancelled is not None:
        raise cancelled
    return running.result()


def _stored(definition: Any, value: Any) -> Any:
    """What is stored of a result. Of another kind than its annotation says, it is taken as it is: the work is done."""
    try:
        return definition.signature.stored_result(value)
    except InvalidTask as error:
        log.warning("%s", error)
        return value
