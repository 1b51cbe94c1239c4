"""Middleware: generators around each attempt, the first that was added outermost.

    @queue.middleware
    def timed(task: Task) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield  # the handler runs here; what it raises is raised here
        finally:
            log.info("%s took %.1f s", task.name, time.monotonic() - began)

What follows the `yield` runs when the handler has ended. A middleware may raise another error in place of the
handler's; it cannot swallow one: an attempt that failed would count as work that is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Sequence
from typing import Any, NamedTuple

from mongoq.core.batching import outcomes_of
from mongoq.core.judging.verdict import Outcome, Raised, Returned
from mongoq.core.tasks.task import Task

__all__ = ["Middleware", "around", "around_awaited", "around_many", "around_many_awaited"]


class Middleware(NamedTuple):
    """A user's generator function, and how to call it."""

    function: Callable[..., Any]
    takes_attempt: bool
    awaited: bool
    """Whether it is an async generator, which only coroutines can be wrapped by."""
    together: Callable[..., Any] | None = None
    """A plain generator around all tasks of a batch handler's call: it is sent their outcomes, and changes none."""

    def begin(self, task: Task) -> Any:
        """Its generator for this attempt."""
        return self.function(task.attempt, task) if self.takes_attempt else self.function(task)

    def said(self, what: str) -> RuntimeError:
        """The error of one that is no middleware."""
        return RuntimeError(f"the middleware {self.function!r} {what}: it yields once, where the handler runs")


def around(layers: Sequence[Middleware], call: Callable[[Task], Any], task: Task) -> Any:
    """Call a plain function inside these."""
    if not layers:
        return call(task)
    layer, generator = layers[0], layers[0].begin(task)
    _begin(layer, generator)
    try:
        value = around(layers[1:], call, task)
    except BaseException as error:
        _raise_in(layer, generator, error)
        raise
    _end(layer, generator, value)
    return value


async def around_awaited(layers: Sequence[Middleware], call: Callable[[Task], Any], task: Task) -> Any:
    """Call a coroutine function inside these."""
    if not layers:
        return await call(task)
    layer, generator = layers[0], layers[0].begin(task)
    if layer.awaited:
        await _begin_awaited(layer, generator)
    else:
        _begin(layer, generator)
    try:
        value = await around_awaited(layers[1:], call, task)
    except BaseException as error:
        if layer.awaited:
            await _raise_in_awaited(layer, generator, error)
        else:
            _raise_in(layer, generator, error)
        raise
    if layer.awaited:
        await _end_awaited(layer, generator, value)
    else:
        _end(layer, generator, value)
    return value


def around_many(layers: Sequence[Middleware], call: Callable[[list[Task]], Any], tasks: list[Task]) -> list[Outcome]:
    """Call a plain batch handler, each of its tasks inside these; what each came to.

    The handler does not get a task that fails before.
    """

    async def called(tasks: list[Task]) -> Any:
        return call(tasks)

    steps = _around_many(layers, called, tasks)
    try:
        steps.send(None)
    except StopIteration as done:  # nothing in there waits
        outcomes: list[Outcome] = done.value
        return outcomes
    raise RuntimeError(f"the batch handler {call!r} awaits")


async def around_many_awaited(
    layers: Sequence[Middleware], call: Callable[[list[Task]], Any], tasks: list[Task]
) -> list[Outcome]:
    """Do as `around_many`, for a coroutine function; an interruption of the coroutine is raised."""
    outcomes = await _around_many(layers, call, tasks)
    for outcome in outcomes:
        if isinstance(outcome, Raised) and isinstance(outcome.error, asyncio.CancelledError):
            raise outcome.error
    return outcomes


async def _around_many(
    layers: Sequence[Middleware], call: Callable[[list[Task]], Any], tasks: list[Task]
) -> list[Outcome]:
    if not layers:
        try:
            return outcomes_of(await call(tasks), len(tasks), call)
        except BaseException as error:  # noqa: BLE001 -- whatever a handler raises is what each came to
            return [Raised(error)] * len(tasks)
    if layers[0].together is not None:
        return await _together(layers[0], layers[0].together(tasks), _around_many(layers[1:], call, tasks))
    layer, begun, outcomes = layers[0], dict[int, Any](), dict[int, Outcome]()
    for place, task in enumerate(tasks):
        try:
            begun[place] = layer.begin(task)
            await (_begin_awaited if layer.awaited else _at_once(_begin))(layer, begun[place])
        except BaseException as error:  # noqa: BLE001 -- as above
            outcomes[place] = Raised(error)
    places = [place for place in begun if place not in outcomes]
    inner = await _around_many(layers[1:], call, [tasks[place] for place in places]) if places else []
    for place, outcome in zip(places, inner, strict=True):
        try:
            if isinstance(outcome, Returned):
                await (_end_awaited if layer.awaited else _at_once(_end))(layer, begun[place], outcome.value)
            elif isinstance(outcome, Raised):
                raise_in = _raise_in_awaited if layer.awaited else _at_once(_raise_in)
                await raise_in(layer, begun[place], outcome.error)
            outcomes[place] = outcome
        except BaseException as error:  # noqa: BLE001 -- as above
            outcomes[place] = Raised(error)
    return [outcomes[place] for place in range(len(tasks))]


async def _together(
    layer: Middleware, generator: Generator[Any, Any, Any], inner: Coroutine[Any, Any, list[Outcome]]
) -> list[Outcome]:
    _begin(layer, generator)
    outcomes = await inner
    _end(layer, generator, outcomes)
    return outcomes


def _at_once(step: Callable[..., None]) -> Callable[..., Any]:
    """A step of a plain generator, to be awaited as one of an async generator is."""

    async def awaited(*args: Any) -> None:
        step(*args)

    return awaited


def _begin(layer: Middleware, generator: Generator[Any, Any, Any]) -> None:
    try:
        next(generator)
    except StopIteration:
        raise layer.said("has not yielded") from None


def _end(layer: Middleware, generator: Generator[Any, Any, Any], value: Any) -> None:
    try:
        generator.send(value)
    except StopIteration:
        return
    generator.close()
    raise layer.said("has yielded twice")


def _raise_in(layer: Middleware, generator: Generator[Any, Any, Any], error: BaseException) -> None:
    """Raise the handler's error where the middleware yields; raises what it makes of it, if that is another one."""
    try:
        generator.throw(error)
    except StopIteration:
        return
    except BaseException as other:
        if other is error or _is_wrapped(other, error):
            return
        raise
    generator.close()
    raise layer.said("has yielded twice") from error


async def _begin_awaited(layer: Middleware, generator: AsyncGenerator[Any, Any]) -> None:
    try:
        await anext(generator)
    except StopAsyncIteration:
        raise layer.said("has not yielded") from None


async def _end_awaited(layer: Middleware, generator: AsyncGenerator[Any, Any], value: Any) -> None:
    try:
        await generator.asend(value)
    except StopAsyncIteration:
        return
    await generator.aclose()
    raise layer.said("has yielded twice")


async def _raise_in_awaited(layer: Middleware, generator: AsyncGenerator[Any, Any], error: BaseException) -> None:
    try:
        await generator.athrow(error)
    except StopAsyncIteration:
        return
    except BaseException as other:
        if other is error or _is_wrapped(other, error):
            return
        raise
    await generator.aclose()
    raise layer.said("has yielded twice") from error


def _is_wrapped(other: BaseException, error: BaseException) -> bool:
    """Whether Python has put a RuntimeError around an error that a generator may not let pass."""
    return isinstance(error, StopIteration | StopAsyncIteration) and other.__cause__ is error
