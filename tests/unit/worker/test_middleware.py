"""Middleware around plain and coroutine handlers: the order, the errors, and what is no middleware."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from mongoq.core.errors import ConfigurationError
from mongoq.core.tasks.task import Task
from mongoq.testing import make_task
from mongoq.worker.handlers.hooks import with_hooks
from mongoq.worker.handlers.signature import ASYNCIO, PROCESSES, THREADS, Handler, checked_handler

TASK = make_task(key="k")


def call(handler: Handler) -> Any:
    value = handler(TASK)
    return asyncio.run(value) if asyncio.iscoroutine(value) else value


def wrapped(function: Any, *middleware: Any) -> Handler:
    handler, executor = checked_handler(function, None)
    return with_hooks(handler, executor, middleware, None)


def plain(answer: Callable[[], Any]) -> Callable[[Task], Any]:
    return lambda task: answer()


def coroutine(answer: Callable[[], Any]) -> Callable[[Task], Any]:
    async def handler(task: Task) -> Any:
        await asyncio.sleep(0)
        return answer()

    return handler


def noting(seen: list[str], name: str, *, awaited: bool = False) -> Any:
    """A middleware that notes what it sees."""

    def noted(task: Task) -> Iterator[None]:
        seen.append(f"{name} before {task.key}")
        try:
            value = yield
        except BaseException as error:
            seen.append(f"{name} error {error!r}")
            raise
        seen.append(f"{name} after {value}")

    async def noted_on_a_loop(task: Task) -> AsyncIterator[None]:
        await asyncio.sleep(0)
        seen.append(f"{name} before {task.key}")
        try:
            value = yield
        except BaseException as error:
            seen.append(f"{name} error {error!r}")
            raise
        seen.append(f"{name} after {value}")

    return noted_on_a_loop if awaited else noted


KINDS = pytest.mark.parametrize(
    "make, awaited", [(plain, False), (coroutine, False), (coroutine, True)], ids=["plain", "coroutine", "async"]
)


@KINDS
def test_the_first_is_the_outermost_and_sees_the_result(make: Any, awaited: bool) -> None:
    seen: list[str] = []
    handler = wrapped(make(lambda: 7), noting(seen, "outer"), noting(seen, "inner", awaited=awaited))
    assert call(handler) == 7
    assert seen == ["outer before k", "inner before k", "inner after 7", "outer after 7"]


@KINDS
def test_an_error_of_the_handler_is_raised_where_they_yield(make: Any, awaited: bool) -> None:
    seen: list[str] = []
    handler = wrapped(make(lambda: 1 // 0), noting(seen, "outer"), noting(seen, "inner", awaited=awaited))
    with pytest.raises(ZeroDivisionError):
        call(handler)
    assert [line[:11] for line in seen] == ["outer befor", "inner befor", "inner error", "outer error"]


def swallows(task: Task) -> Iterator[None]:
    with contextlib.suppress(ZeroDivisionError):
        yield


async def swallows_on_a_loop(task: Task) -> AsyncIterator[None]:
    with contextlib.suppress(ZeroDivisionError):
        yield


def translates(task: Task) -> Iterator[None]:
    try:
        yield
    except ZeroDivisionError as error:
        raise ValueError("translated") from error


async def translates_on_a_loop(task: Task) -> AsyncIterator[None]:
    try:
        yield
    except ZeroDivisionError as error:
        raise ValueError("translated") from error


@pytest.mark.parametrize(
    "make, middleware", [(plain, swallows), (coroutine, swallows), (coroutine, swallows_on_a_loop)]
)
def test_an_error_is_not_swallowed(make: Any, middleware: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        call(wrapped(make(lambda: 1 // 0), middleware))


@pytest.mark.parametrize(
    "make, middleware", [(plain, translates), (coroutine, translates), (coroutine, translates_on_a_loop)]
)
def test_an_error_may_be_replaced_by_another(make: Any, middleware: Any) -> None:
    with pytest.raises(ValueError, match="translated"):
        call(wrapped(make(lambda: 1 // 0), middleware))


@pytest.mark.parametrize("error", [StopIteration("end"), StopAsyncIteration("end")])
@pytest.mark.parametrize("awaited", [False, True])
def test_an_error_that_generators_may_not_let_pass_passes(error: Exception, awaited: bool) -> None:
    def fails() -> None:
        raise error

    make = coroutine if awaited else plain
    with pytest.raises((type(error), RuntimeError)) as caught:
        call(wrapped(make(fails), noting([], "one", awaited=awaited)))
    assert error in (caught.value, caught.value.__cause__)


def never(task: Task) -> Iterator[None]:
    if task.key == "another":
        yield


def twice(task: Task) -> Iterator[None]:
    yield
    yield


def again(task: Task) -> Iterator[None]:
    try:
        yield
    except ZeroDivisionError:
        yield


async def never_on_a_loop(task: Task) -> AsyncIterator[None]:
    if task.key == "another":
        yield


async def twice_on_a_loop(task: Task) -> AsyncIterator[None]:
    yield
    yield


async def again_on_a_loop(task: Task) -> AsyncIterator[None]:
    try:
        yield
    except ZeroDivisionError:
        yield


@pytest.mark.parametrize(
    "make, middleware, answer, said",
    [
        (plain, never, lambda: 7, "has not yielded"),
        (plain, twice, lambda: 7, "has yielded twice"),
        (plain, again, lambda: 1 // 0, "has yielded twice"),
        (coroutine, never, lambda: 7, "has not yielded"),
        (coroutine, never_on_a_loop, lambda: 7, "has not yielded"),
        (coroutine, twice_on_a_loop, lambda: 7, "has yielded twice"),
        (coroutine, again_on_a_loop, lambda: 1 // 0, "has yielded twice"),
    ],
)
def test_what_does_not_yield_once_fails_the_attempt_and_says_so(
    make: Any, middleware: Any, answer: Any, said: str
) -> None:
    with pytest.raises(RuntimeError, match=said):
        call(wrapped(make(answer), middleware))


def test_it_may_take_the_attempt_too() -> None:
    seen: list[Any] = []

    def noted(attempt: Any, task: Task) -> Iterator[None]:
        seen.append((attempt, task))
        yield

    assert call(wrapped(lambda task: 7, noted)) == 7
    assert seen == [(TASK.attempt, TASK)]


@pytest.mark.parametrize("executor", [THREADS, PROCESSES])
def test_an_async_one_needs_an_event_loop(executor: str) -> None:
    handler = Handler(print, False)
    with pytest.raises(ConfigurationError, match=r"middleware: .* an async one needs the event loop"):
        with_hooks(handler, executor, [twice_on_a_loop], None)
    with pytest.raises(ConfigurationError, match=r"lifespan: .* an async one needs the event loop"):
        with_hooks(handler, executor, [], twice_on_a_loop)
    with_hooks(handler, ASYNCIO, [twice_on_a_loop], twice_on_a_loop)


def test_children_must_be_able_to_import_it() -> None:
    def local(task: Task) -> Iterator[None]:
        yield

    with pytest.raises(ConfigurationError, match=r"middleware: .* at the top level of a module"):
        with_hooks(Handler(print, False), PROCESSES, [local], None)


def test_it_takes_a_task_or_an_attempt_and_a_task() -> None:
    def three(one: Any, two: Any, three: Any) -> Iterator[None]:
        yield

    with pytest.raises(ConfigurationError, match=r"middleware\(task\) or middleware\(attempt, task\)"):
        with_hooks(Handler(print, False), THREADS, [three], None)
