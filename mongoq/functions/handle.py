"""What a producer holds of a call that it enqueued: the task's key, its end, and its result with its type."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from mongoq.api.verb import Awaited, Blocking, verb
from mongoq.api.waiting import ended
from mongoq.core.judging.ended import error_of
from mongoq.core.tasks.task import Task
from mongoq.core.validation import Duration
from mongoq.functions.definition import Definition
from mongoq.storage.commands import Op

R = TypeVar("R")


class Inside:
    """The inside of a handle."""

    def __init__(self, base: Any, definition: Definition, task: Task) -> None:
        self.base = base
        self.driver = base.driver
        self.definition = definition
        self.task = task


class _Handle(Generic[R]):
    """A call that was enqueued."""

    _base: Inside

    def __init__(self, inside: Inside) -> None:
        self._base = inside

    @property
    def task(self) -> Task:
        """The task as it was enqueued; after `wait` or `result`, as it has finished."""
        return self._base.task

    @property
    def key(self) -> str:
        """The key of its task."""
        return self._base.task.key

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._base.definition.name}: {self._base.task!r}>"

    @verb
    def wait(inside: Inside, timeout: Duration | None = None) -> Op[bool]:
        """Wait until the call has finished, however it ended, at most `timeout` seconds; return whether it has.

        Raises:
            TaskNotFound: its task was deleted; see `queue.wait`.
        """
        found = yield from ended(inside.base, inside.task.key, timeout)
        if found is not None:
            inside.task = found
        return found is not None

    @verb
    def result(inside: Inside, timeout: Duration | None = None) -> Op[R]:
        """Wait for the result of the call, at most `timeout` seconds, and return it as the function returned it.

        Raises:
            TimeoutError: it has not finished within `timeout`.
            MaxRetriesExceeded, TaskFailed, TaskCancelled, TaskExpired: it ended so; the text has the last error.
            TaskNotFound: its task was deleted; see `queue.wait`.
            InvalidTask: the stored result does not match the function's annotation.
        """
        found = yield from ended(inside.base, inside.task.key, timeout)
        if found is None:
            raise TimeoutError(f"the task {inside.task.key!r} has not finished within {timeout} s")
        inside.task = found
        returned: R = result_of(inside.definition, found)
        return returned


class TaskHandle(_Handle[R], Blocking):
    """A call that was enqueued: `handle.result(timeout=10)` waits for what the function returns."""


class AsyncTaskHandle(_Handle[R], Awaited):
    """`TaskHandle` of an `AsyncQueue`: `await handle.result(timeout=10)`."""


def result_of(definition: Definition, task: Task) -> Any:
    """The result of a finished task; raises what tells of any other end."""
    error = error_of(task)
    if error is not None:
        raise error
    return definition.signature.result(task.result)
