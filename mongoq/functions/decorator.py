"""`@queue.task`, with its types: what the worker injects is no part of a call, and a coroutine's result is awaited.

The overloads are tried in this order: a first parameter that takes anything (it may be an `Attempt` or not, so the
arguments are not checked by type checkers), a first parameter annotated `Attempt` or `Task`, and all others. The result
of a coroutine function is what its coroutine brings, and that of a `Done` is the result in it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack, overload

from mongoq.core.judging.done import Done
from mongoq.core.tasks.task import Attempt, Task
from mongoq.core.validation import Duration
from mongoq.functions.batch_decorator import BatchDecorator
from mongoq.functions.definition import Definition
from mongoq.functions.function import TaskFunction
from mongoq.functions.options import FunctionOptions, checked_names
from mongoq.functions.registry import Registry

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")
Injected = Callable[Concatenate[Attempt, P], C] | Callable[Concatenate[Task, P], C]
"""A function whose first argument the worker passes."""
Around = Callable[[Any, Callable[[Any], Any]], Any]
"""What makes a task function in place of the decorator, whose own way of it is the second argument."""


class Anything:
    """Only a parameter that takes anything takes this."""

    __slots__ = ("_never",)


class Decorator:
    """What a decorator does, in both tempos."""

    _kind: type[Any]

    def __init__(
        self, registry: Registry, settings: dict[str, Any] | None = None, around: Around | None = None
    ) -> None:
        self._registry = registry
        self._settings = settings or {}
        self._around = around

    def _made(
        self,
        function: Any,
        name: str | None,
        aliases: Sequence[str],
        revision: int | None,
        options: dict[str, Any],
        **more: Any,
    ) -> Any:
        if self._around is not None:
            return self._around(function, self._new)
        given = {"name": name, "aliases": tuple(aliases), "revision": revision, "options": options, **more}
        if function is None:
            checked_names(options, "task()")
            return type(self)(self._registry, given)
        return self._new(function)

    def _new(self, function: Any) -> Any:
        made = self._kind(Definition(function, **{"options": {}, **self._settings}), self._registry)
        self._registry.add(made)
        return made


class TaskDecorator(Decorator):
    """Makes task functions: `@queue.task`, or with options `@queue.task(max_retries=5)`.

    Options:
        name: the name of its tasks; default: the function's own. Workers find the function by it, so it outlives a
            renamed function or a moved module.
        aliases: further names whose tasks it runs: what it was called before.
        revision: a number; tasks then run only on workers that have the function at this revision.
        secret: the names of arguments that are stored encrypted, which takes a queue with `codec=`. No filter finds a
            task by them.
        batch: so many calls at most, from 1 to 1,000, are one call of the function: each of its parameters is a list,
            with an element for each call, as is what it returns; see `BatchDecorator`.
        wait: the seconds, from 0.01 to 3,600, for which the first call of a batch waits for the others; default: 0.5.

    The others are those of `Queue.new`, for all its tasks.
    """

    _kind = TaskFunction

    @overload
    def __call__(
        self, function: Callable[Concatenate[Anything, ...], Coroutine[Any, Any, R]], /
    ) -> TaskFunction[..., R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Anything, ...], R], /) -> TaskFunction[..., R, R]: ...
    @overload
    def __call__(
        self, function: Injected[P, Coroutine[Any, Any, Done[R]]], /
    ) -> TaskFunction[P, R, Coroutine[Any, Any, Done[R]]]: ...
    @overload
    def __call__(
        self, function: Injected[P, Coroutine[Any, Any, R]], /
    ) -> TaskFunction[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Injected[P, Done[R]], /) -> TaskFunction[P, R, Done[R]]: ...
    @overload
    def __call__(self, function: Injected[P, R], /) -> TaskFunction[P, R, R]: ...
    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, Done[R]]], /
    ) -> TaskFunction[P, R, Coroutine[Any, Any, Done[R]]]: ...
    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> TaskFunction[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[P, Done[R]], /) -> TaskFunction[P, R, Done[R]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> TaskFunction[P, R, R]: ...
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
    ) -> BatchDecorator: ...
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
        """Make a task function, or a decorator with these options.

        Raises ConfigurationError where the function has a parameter or a result that cannot be stored, or its name is
        taken.
        """
        return self._made(function, name, aliases, revision, {**options}, secret=secret, batch=batch, wait=wait)
