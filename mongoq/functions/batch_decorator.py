"""What `@queue.task(batch=100)` makes of a function of lists: a task function of their elements.

Type checkers know the argument and the result of a call where the function takes one list, beside a list of what the
worker passes; other functions are checked when they are called.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar, overload

from mongoq.core.tasks.task import Attempt, Task
from mongoq.functions.function import AsyncTaskFunction, TaskFunction

A = TypeVar("A")
R = TypeVar("R")
T = TypeVar("T")
Lists = Callable[[list[A]], T] | Callable[[list[Attempt], list[A]], T] | Callable[[list[Task], list[A]], T]
"""A function that takes a list of arguments."""


class BatchDecorator(Protocol):
    """Makes task functions that run many calls at once.

    Each parameter of the function is a list with one argument of each call. The function returns None, which completes
    all tasks, or a list with an entry for each call: its result, or an exception (`Retry`, `Fail`, any error), which
    counts as if that call alone had raised it. An exception that the function raises counts for each call.
    """

    @overload
    def __call__(
        self, function: Lists[A, Coroutine[Any, Any, list[R]]], /
    ) -> TaskFunction[[A], R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(
        self, function: Lists[A, Coroutine[Any, Any, None]], /
    ) -> TaskFunction[[A], None, Coroutine[Any, Any, None]]: ...
    @overload
    def __call__(self, function: Lists[A, list[R]], /) -> TaskFunction[[A], R, R]: ...
    @overload
    def __call__(self, function: Lists[A, None], /) -> TaskFunction[[A], None, None]: ...
    @overload
    def __call__(self, function: Callable[..., Any], /) -> TaskFunction[..., Any, Any]: ...
    def __call__(self, function: Any, /) -> Any:
        """Make a task function."""


class AsyncBatchDecorator(Protocol):
    """`BatchDecorator` of an `AsyncQueue`."""

    @overload
    def __call__(
        self, function: Lists[A, Coroutine[Any, Any, list[R]]], /
    ) -> AsyncTaskFunction[[A], R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(
        self, function: Lists[A, Coroutine[Any, Any, None]], /
    ) -> AsyncTaskFunction[[A], None, Coroutine[Any, Any, None]]: ...
    @overload
    def __call__(self, function: Lists[A, list[R]], /) -> AsyncTaskFunction[[A], R, R]: ...
    @overload
    def __call__(self, function: Lists[A, None], /) -> AsyncTaskFunction[[A], None, None]: ...
    @overload
    def __call__(self, function: Callable[..., Any], /) -> AsyncTaskFunction[..., Any, Any]: ...
    def __call__(self, function: Any, /) -> Any:
        """Make a task function."""
