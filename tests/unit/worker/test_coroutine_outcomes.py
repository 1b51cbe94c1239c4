"""What becomes of one coroutine: its result, its error, and how it is made to stop."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from mongoq.core.clock import elapsed
from mongoq.core.failures import describe
from mongoq.core.judging.policy import Policy
from mongoq.core.judging.verdict import Outcome, Raised, Returned
from mongoq.core.signals import DeadlineExceeded, Interruption
from mongoq.core.tasks.task import Task
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.executors.asyncio import AsyncioExecutor
from mongoq.worker.handlers.signature import Function
from tests.handlers import forever
from tests.unit.worker.reported import Engine


class Object:
    async def __call__(self, task: Task) -> str:
        await asyncio.sleep(0)
        return task.key


Make = Callable[..., LiveAttempt]


@pytest.fixture
def outcome_of(make_attempt: Make) -> Iterator[Callable[..., Outcome]]:
    """Give `outcome_of(function, deadline=None)`: what it comes to on a loop of its own."""
    made: list[AsyncioExecutor] = []

    def run(function: Function, *, deadline: float | None = None, told: Interruption | None = None) -> Outcome:
        engine = Engine()
        executor = engine.executor(function, 1)
        made.append(executor)
        executor.start()
        policy = Policy(deadline=None if deadline is None else timedelta(seconds=deadline))
        attempt = make_attempt(elapsed(), policy=policy)
        executor.submit([attempt])
        if told is not None:
            assert engine.begun.wait(60)
            attempt.interrupt(told)
        return engine.wait(1)[0]

    yield run
    for executor in made:
        executor.close()


def error_of(outcome: Outcome) -> BaseException:
    assert isinstance(outcome, Raised)
    return outcome.error


@pytest.mark.parametrize("function", [Object(), Object().__call__, functools.partial(Object.__call__, Object())])
def test_what_a_coroutine_returns_is_the_result(outcome_of: Any, function: Any) -> None:
    assert outcome_of(function) == Returned("k1")


def test_what_a_coroutine_raises_comes_with_its_traceback(outcome_of: Any) -> None:
    async def inner() -> None:
        await asyncio.sleep(0)
        raise ValueError("no such user")

    async def handler(task: Task) -> None:
        await inner()

    error = error_of(outcome_of(handler))
    assert str(error) == "no such user"
    assert "in inner" in describe(error).frames


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
def test_an_exit_in_a_coroutine_is_its_outcome_and_does_not_end_the_loop(
    make_attempt: Make, error: type[BaseException]
) -> None:
    engine = Engine()

    async def handler(task: Task) -> str:
        if task.key == "leaves":
            raise error("of its own")
        return "alive"

    executor = engine.executor(handler, 1)
    executor.start()
    executor.submit([make_attempt(elapsed(), _id=key) for key in ("leaves", "stays")])
    first, second = engine.wait(2)
    assert (type(error_of(first)), second) == (error, Returned("alive"))
    executor.close()


def test_a_deadline_cancels_a_coroutine_where_it_waits(outcome_of: Any) -> None:
    seen: list[Any] = []

    async def handler(task: Task) -> None:
        try:
            await forever(task)
        except asyncio.CancelledError as error:
            seen.extend([*error.args, task.interruption, task.time_left()])
            raise

    error = error_of(outcome_of(handler, deadline=0.01))
    assert isinstance(error, DeadlineExceeded)
    assert "in forever" in describe(error).frames
    assert seen == ["deadline", "deadline", 0.0]


def test_a_coroutine_that_swallows_its_deadline_completes_its_task(outcome_of: Any) -> None:
    async def handler(task: Task) -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await forever(task)
        return "tidied up"

    assert outcome_of(handler, deadline=0.01) == Returned("tidied up")


def test_a_coroutine_that_swallows_a_cancel_request_has_a_deadline_still(outcome_of: Any) -> None:
    seen: list[Any] = []

    async def handler(task: Task) -> None:
        for _ in range(2):
            try:
                await forever(task)
            except asyncio.CancelledError as error:
                seen.extend(error.args)
        raise ValueError("enough")

    error = error_of(outcome_of(handler, deadline=0.2, told=Interruption.CANCEL))
    assert (seen, str(error)) == (["cancel", "deadline"], "enough")


@pytest.mark.parametrize("reason", [Interruption.CANCEL, Interruption.LEASE_LOST])
def test_a_request_to_stop_cancels_the_waiting_coroutine(outcome_of: Any, reason: Interruption) -> None:
    assert getattr(error_of(outcome_of(forever, told=reason)), "reason", None) is reason
