"""One declaration of a helper for both tempos: it blocks for a `Queue` and is awaited for an `AsyncQueue`.

A helper is an operation over the inside of a queue, as a verb is. Where it yields `Entered(call)`, `call` is made in
the caller's thread, or on its loop; its outcome is the reply.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from contextlib import closing
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from mongoq.api.verb import Awaited, Blocking
from mongoq.core.errors import ConfigurationError, Fault
from mongoq.core.judging.verdict import Raised, Returned
from mongoq.core.signals import Interrupted
from mongoq.storage.commands import Op
from mongoq.storage.control import Entered
from mongoq.worker.handlers.lifespan import Lifespan

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Made = Returned | Raised


class Helper(Protocol[P, T_co]):
    """A helper, as its callers see it."""

    @overload
    def __call__(self, queue: Blocking, /, *args: P.args, **options: P.kwargs) -> T_co: ...
    @overload
    def __call__(self, queue: Awaited, /, *args: P.args, **options: P.kwargs) -> Coroutine[Any, Any, T_co]: ...
    def __call__(self, queue: Any, /, *args: P.args, **options: P.kwargs) -> Any:
        """The helper's result, or what brings it when awaited."""


def helper(function: Callable[Concatenate[Any, P], Op[T]]) -> Helper[P, T]:
    """Declare a helper of both tempos."""

    @functools.wraps(function)
    def call(queue: Any, /, *args: P.args, **options: P.kwargs) -> Any:
        base = queue._base
        run = _run_awaited if isinstance(queue, Awaited) else _run_blocking
        return run(base.driver, function(base, *args, **options))

    return call


def _run_blocking(driver: Any, op: Op[T]) -> T:
    steps = driver.steps(op)
    with closing(asyncio.Runner()) as runner:  # its loop is made when the first coroutine needs it
        try:
            result = driver.advance(steps)
            while type(result) is Entered:
                try:
                    made = blocking_outcome(result.value, runner)
                except BaseException as error:  # noqa: BLE001 -- the operation is to clean up, then raises it
                    result = driver.advance(steps, None, error)
                else:
                    result = driver.advance(steps, made)
            return result  # type: ignore[no-any-return]
        finally:
            steps.close()


async def _run_awaited(driver: Any, op: Op[T]) -> T:
    steps = driver.steps(op)
    try:
        result = await driver.advance(steps)
        while type(result) is Entered:
            try:
                made = await awaited_outcome(result.value)
            except BaseException as error:  # noqa: BLE001 -- the operation is to clean up, then raises it
                result = await driver.advance(steps, None, error)
            else:
                result = await driver.advance(steps, made)
        return result  # type: ignore[no-any-return]
    finally:
        steps.close()


def opened(lifespan: Lifespan | None, run: Callable[[], Op[T]]) -> Op[T]:
    """Run an operation while a lifespan is open; raises what that raises as it begins."""
    if lifespan is None:
        return (yield from run())
    made: Made = yield Entered(lifespan.enter_awaited if lifespan.awaited else lifespan.enter)
    if isinstance(made, Raised):
        raise made.error
    leave = lifespan.leave_awaited if lifespan.awaited else lifespan.leave
    try:
        done = yield from run()
    except GeneratorExit:
        raise
    except BaseException:
        yield Entered(leave)
        raise
    yield Entered(leave)
    return done


class NoPlace(ConfigurationError):
    """A coroutine cannot be waited for by a thread that runs an event loop."""


def _checked(coroutine: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
    """The coroutine, unless this thread runs an event loop already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return coroutine
    coroutine.close()
    allowed = "a plain function, as an event loop runs here; or await it: with an AsyncQueue, or by perform_async"
    raise NoPlace([Fault("handler", "a coroutine function", allowed)])


def blocking_outcome(call: Callable[[], Any], runner: asyncio.Runner) -> Made:
    """What became of a call; a coroutine is run to its end."""
    try:
        value = call()
        if inspect.iscoroutine(value):
            value = runner.run(_checked(value))
        return Returned(value)
    except NoPlace:
        raise
    except (Exception, Interrupted) as error:  # noqa: BLE001 -- it is the outcome
        return Raised(error)


async def awaited_outcome(call: Callable[[], Any]) -> Made:
    """The same on the caller's loop."""
    try:
        value = call()
        return Returned(await value if inspect.isawaitable(value) else value)
    except (Exception, Interrupted) as error:  # noqa: BLE001 -- it is the outcome
        return Raised(error)
