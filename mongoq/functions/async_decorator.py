"""`@queue.task` of an `AsyncQueue`; `decorator` says what the overloads are for.

They stand twice: each names the class of the tempo with its parameters, and Python's types know no variable for that.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack, overload

from mongoq.core.judging.done import Done
from mongoq.core.validation import Duration
from mongoq.functions.batch_decorator import AsyncBatchDecorator
from mongoq.functions.decorator import Anything, Decorator, Injected
from mongoq.functions.function import AsyncTaskFunction
from mongoq.functions.options import FunctionOptions

P = ParamSpec("P")
R = TypeVar("R")


class AsyncTaskDecorator(Decorator):
    """`TaskDecorator` of an `AsyncQueue`, whose functions are enqueued by `await function.new(...)`."""

    _kind = AsyncTaskFunction

    @overload
    def __call__(
        self, function: Callable[Concatenate[Anything, ...], Coroutine[Any, Any, R]], /
    ) -> AsyncTaskFunction[..., R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Anything, ...], R], /) -> AsyncTaskFunction[..., R, R]: ...
    @overload
    def __call__(
        self, function: Injected[P, Coroutine[Any, Any, Done[R]]], /
    ) -> AsyncTaskFunction[P, R, Coroutine[Any, Any, Done[R]]]: ...
    @overload
    def __call__(
        self, function: Injected[P, Coroutine[Any, Any, R]], /
    ) -> AsyncTaskFunction[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Injected[P, Done[R]], /) -> AsyncTaskFunction[P, R, Done[R]]: ...
    @overload
    def __call__(self, function: Injected[P, R], /) -> AsyncTaskFunction[P, R, R]: ...
    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, Done[R]]], /
    ) -> AsyncTaskFunction[P, R, Coroutine[Any, Any, Done[R]]]: ...
    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncTaskFunction[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[P, Done[R]], /) -> AsyncTaskFunction[P, R, Done[R]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> AsyncTaskFunction[P, R, R]: ...
    @overload
    def __call__(
        self,
        *,
        batch: int,
        wait: Duration | None = None,
        name: str | None = None,
        aliases: Sequence[str] = (),
        revision: int | None = None,
        secret: Sequence[str] = (),
        **options: Unpack[FunctionOptions],
    ) -> AsyncBatchDecorator: ...
    @overload
    def __call__(
        self,
        *,
        name: str | None = None,
        aliases: Sequence[str] = (),
        revision: int | None = None,
        secret: Sequence[str] = (),
        **options: Unpack[FunctionOptions],
    ) -> Self: ...
    def __call__(  # type: ignore[misc] # mypy takes `Unpack` beside positional-only parameters for less than it is
        self,
        function: Any = None,
        /,
        *,
        name: str | None = None,
        aliases: Sequence[str] = (),
        revision: int | None = None,
        secret: Sequence[str] = (),
        batch: int | None = None,
        wait: Duration | None = None,
        **options: Unpack[FunctionOptions],
    ) -> Any:
        """Make a task function, or a decorator with these options; see `TaskDecorator`."""
        return self._made(function, name, aliases, revision, {**options}, secret=secret, batch=batch, wait=wait)
