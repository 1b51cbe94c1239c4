from __future__ import annotations

import functools
import sys
import types
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from mongoq.core.clock import elapsed
from mongoq.core.errors import ConfigurationError
from mongoq.core.tasks.task import Task
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.handlers.cores import usable_cores
from mongoq.worker.handlers.signature import checked_handler, default_workers


class Methods:
    def one(self, task: Any) -> Any:
        return task

    def two(self, attempt: Any, task: Any) -> Any:
        return attempt, task

    @staticmethod
    def static(task: Any) -> Any:
        return task

    @classmethod
    def of_class(cls, attempt: Any, task: Any) -> Any:
        return attempt, task


class CalledWithOne:
    def __call__(self, task: Any) -> Any:
        return task


class CalledWithTwo:
    def __call__(self, attempt: Any, task: Any) -> Any:
        return attempt, task


def with_default(task: Any, retries: int = 3) -> Any:
    assert retries == 3
    return task


def two_with_default(attempt: Any, task: Any, *, verbose: bool = False) -> Any:
    assert not verbose
    return attempt, task


@pytest.fixture
def task(make_attempt: Callable[..., LiveAttempt]) -> Task:
    return make_attempt(elapsed()).task


@pytest.mark.parametrize(
    "handler",
    [
        lambda task: task,
        with_default,
        Methods().one,
        Methods.static,
        CalledWithOne(),
        functools.partial(Methods().two, None),
        lambda *args: args[0] if len(args) == 1 else None,
    ],
)
def test_a_handler_of_one_is_given_the_task(handler: Any, task: Task) -> None:
    got = checked_handler(handler, None)[0](task)
    assert (got[1] if isinstance(got, tuple) else got) is task


@pytest.mark.parametrize(
    "handler",
    [lambda attempt, task: (attempt, task), two_with_default, Methods().two, Methods.of_class, CalledWithTwo()],
)
def test_a_handler_of_two_is_given_the_attempt_first(handler: Any, task: Task) -> None:
    attempt, got = checked_handler(handler, None)[0](task)
    assert attempt is task.attempt is not None
    assert got is task


def test_a_builtin_serves_too(task: Task) -> None:
    assert checked_handler(id, None)[0](task) == id(task)


def too_many(first: Any, second: Any, third: Any) -> None: ...


def only_by_name(*, task: Any) -> None: ...


@pytest.mark.parametrize("handler", [lambda: None, too_many, only_by_name])
def test_a_handler_that_cannot_be_called_so_is_refused_with_its_parameters(handler: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"handler: .* is not handler\(task\) or handler\(attempt, task\)"):
        checked_handler(handler, None)


@pytest.mark.parametrize("handler", [None, "module.function", 7])
def test_what_cannot_be_called_is_refused(handler: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"handler: .* is not a function of the task"):
        checked_handler(handler, None)


async def coroutine(task: Any) -> None: ...


class AsyncCalled:
    async def __call__(self, task: Any) -> None: ...


class AsyncTaken:
    """A class that is called with the task: what its instances do when they are called is another matter."""

    def __init__(self, task: Any) -> None: ...

    async def __call__(self, task: Any) -> None: ...


class AsyncMethod:
    async def handle(self, task: Any) -> None: ...


@pytest.mark.parametrize(
    "handler",
    [coroutine, AsyncCalled(), AsyncMethod().handle, functools.partial(coroutine), functools.partial(AsyncCalled())],
    ids=lambda value: repr(value).partition(" at 0x")[0],
)
def test_a_coroutine_runs_on_asyncio_and_nowhere_else(handler: Any) -> None:
    assert checked_handler(handler, None)[1] == checked_handler(handler, "asyncio")[1] == "asyncio"
    with pytest.raises(ConfigurationError, match="a plain function, for executor='threads': coroutines need 'asyncio'"):
        checked_handler(handler, "threads")


@pytest.mark.parametrize(
    "handler",
    [with_default, CalledWithOne(), Methods().two, id, AsyncTaken],
    ids=lambda value: repr(value).partition(" at 0x")[0],
)
def test_a_plain_function_runs_in_threads_and_not_on_asyncio(handler: Any) -> None:
    assert checked_handler(handler, None)[1] == checked_handler(handler, "threads")[1] == "threads"
    with pytest.raises(ConfigurationError, match="a coroutine function, for executor='asyncio': others need 'threads'"):
        checked_handler(handler, "asyncio")


def test_an_unknown_executor_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"executor: 'asynco' .*did you mean 'asyncio'"):
        checked_handler(with_default, "asynco")


def test_threads_are_as_many_as_the_cores_and_coroutines_a_hundred() -> None:
    assert (default_workers("threads"), default_workers("asyncio")) == (usable_cores(), 100)


@pytest.mark.parametrize(
    "module, question, patched, by",
    [
        ("gevent.monkey", "is_module_patched", "socket", "gevent"),
        ("gevent.monkey", "is_module_patched", "threading", "gevent"),
        ("eventlet.patcher", "is_monkey_patched", "thread", "eventlet"),
    ],
)
def test_processes_are_refused_where_the_standard_library_is_patched(
    monkeypatch: pytest.MonkeyPatch, module: str, question: str, patched: str, by: str
) -> None:
    answering = types.SimpleNamespace(**{question: lambda name: name == patched})
    monkeypatch.setitem(sys.modules, module, answering)
    with pytest.raises(ConfigurationError, match=f"executor: 'processes' .*where {by} has patched"):
        checked_handler(with_default, "processes")
    assert checked_handler(with_default, "threads")[1] == "threads"


def test_processes_are_accepted_where_gevent_is_only_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    answering = types.SimpleNamespace(is_module_patched=lambda _: False)
    monkeypatch.setitem(sys.modules, "gevent.monkey", answering)
    assert checked_handler(with_default, "processes")[1] == "processes"


def generator(task: Any) -> Iterator[Any]:
    yield task


async def async_generator(task: Any) -> AsyncIterator[Any]:
    yield task


@pytest.mark.parametrize("handler", [generator, async_generator])
def test_a_generator_is_refused_instead_of_never_run(handler: Any) -> None:
    with pytest.raises(ConfigurationError):
        checked_handler(handler, None)
