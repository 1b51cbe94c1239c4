"""The handler of a worker with task functions: it finds the function of a task by name.

It is pickled as the names of its functions, so that a child process imports their modules and finds the same ones.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from mongoq.core.batching import BatchRule
from mongoq.core.errors import InvalidTask
from mongoq.core.judging.done import Done
from mongoq.core.judging.verdict import Raised
from mongoq.core.tasks.task import Task
from mongoq.worker.executors.daemon_pool import DaemonPool

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

    @property
    def policies(self) -> dict[str, dict[str, Any]]:
        """By name: what the policy of a function has that its tasks cannot carry."""
        return {name: definition.local for name, definition in self._by_name.items() if definition.local}

    @property
    def rules(self) -> dict[str, BatchRule]:
        """By name: how many tasks a batch function takes together."""
        return {name: definition.rule for name, definition in self._by_name.items() if definition.rule}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._functions,)

    def __repr__(self) -> str:
        return f"the task functions {', '.join(self._by_name)}"

    def __call__(self, task: Any) -> Any:
        """Call the function of a task; what is stored as its result. For a list of tasks, an entry for each."""
        if type(task) is list:
            calls = self._found(task[0]).calls(task)
            return _entries(calls, calls.make())
        definition = self._by_name[task.name]
        value = definition.call(task)
        return None if value is None else _stored(definition, value)

    def returned(self, task: Task, value: Any) -> Any:
        """What the function of a task has returned, of what is stored of it: for tests."""
        if isinstance(value, Done):
            return replace(value, result=self.returned(task, value.result))
        with suppress(InvalidTask):
            return self._found(task).signature.result(value)
        return value

    def _found(self, task: Task) -> Any:
        return self._by_name[task.name]  # claims ask for these names only


class AsyncRouter(Router):
    """Runs coroutine functions on the event loop, and plain ones in threads beside it."""

    def __init__(self, functions: Iterable[Any]) -> None:
        super().__init__(functions)
        self._pool = DaemonPool()
        weakref.finalize(self, self._pool.shutdown)

    async def __call__(self, task: Any) -> Any:
        """Call the function of a task; what is stored as its result. For a list of tasks, an entry for each."""
        if type(task) is list:
            calls = self._found(task[0]).calls(task)
            return _entries(calls, await self._called(calls.definition.awaited, calls.make))
        definition = self._found(task)
        return _stored(definition, await self._called(definition.awaited, definition.call, task))

    async def _called(self, awaited: bool, function: Callable[..., Any], *args: Any) -> Any:
        if awaited:
            return await function(*args)
        call = functools.partial(contextvars.copy_context().run, function, *args)
        running = asyncio.get_running_loop().run_in_executor(self._pool, call)
        while not running.done():
            with suppress(asyncio.CancelledError):  # a thread cannot be stopped: its slot is free when it ends
                await asyncio.wait([running])
        return running.result()


def _entries(calls: Any, returned: Any) -> list[Any]:
    """For each task of a call its result as it is stored, or the exception that it came to."""
    outcomes = calls.outcomes(returned)
    return [one.error if isinstance(one, Raised) else _stored(calls.definition, one.value) for one in outcomes]


def _stored(definition: Any, value: Any) -> Any:
    """What is stored of a result. Of another kind than its annotation says, it is taken as it is: the work is done."""
    try:
        return definition.signature.stored_result(value)
    except InvalidTask as error:
        log.warning("%s", error)
        return value
