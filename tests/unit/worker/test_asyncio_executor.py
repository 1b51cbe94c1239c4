from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest

from mongoq.core.clock import elapsed
from mongoq.core.judging.verdict import Raised, Returned
from mongoq.core.signals import Interruption
from mongoq.core.tasks.task import Task
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.executors import asyncio as executors
from tests.handlers import forever
from tests.unit.worker.reported import Engine

Make = Callable[..., LiveAttempt]


def test_suspects_go_before_the_others_and_each_in_their_order(make_attempt: Make) -> None:
    engine, ran = Engine(), []

    async def handler(task: Task) -> None:
        ran.append(task.key)

    executor = engine.executor(handler, 1)
    executor.submit([make_attempt(elapsed(), _id=key, lost_leases=int(key.isupper())) for key in "abCdEf"])
    executor.submit([make_attempt(elapsed(), _id=key) for key in "gh"])
    executor.start()
    engine.wait(8)
    executor.close()
    assert ran == list("CEabdfgh")


def test_what_has_not_started_can_be_taken_back(make_attempt: Make) -> None:
    engine = Engine()
    executor = engine.executor(asyncio.sleep, 1)
    attempts = [make_attempt(elapsed()) for _ in range(3)]
    executor.submit(attempts)
    assert executor.drain() == attempts
    assert executor.drain() == []
    executor.start()
    executor.close()
    assert engine.outcomes == []


def test_a_lease_that_was_not_renewed_cancels_the_coroutine_at_its_end(make_attempt: Make) -> None:
    engine = Engine()
    entered = threading.Event()

    async def handler(task: Task) -> None:
        entered.set()
        await asyncio.Event().wait()

    executor = engine.executor(handler, 1)
    executor.start()
    attempt = make_attempt(elapsed())
    executor.submit([attempt])
    assert entered.wait(60)
    attempt.lease_until = elapsed() + 0.2
    assert 0.1 < executor.step(elapsed()) <= 0.2, "the next look is due when the lease ends"
    attempt.lease_until = elapsed()
    assert executor.step(elapsed()) == 1
    ending = engine.wait(1)[0]
    executor.close()
    assert isinstance(ending, Raised)
    assert getattr(ending.error, "reason", None) is Interruption.LEASE_LOST


def test_a_batch_costs_one_call_into_the_loop(make_attempt: Make) -> None:
    engine = Engine()

    async def handler(task: Task) -> str:
        await asyncio.sleep(0)
        return task.key

    executor = engine.executor(handler, 1_000)
    calls: list[object] = []
    post, executor.post = executor.post, calls.append  # type: ignore[method-assign,assignment]
    executor.submit([make_attempt(elapsed()) for _ in range(500)])
    assert len(calls) == 1
    executor.post = post  # type: ignore[method-assign]
    executor.submit([])
    executor.start()
    assert engine.wait(500) == [Returned("k1")] * 500
    executor.close()
    executor.close()
    assert executor._own is not None
    assert not executor._own.thread.is_alive()


# What a handler comes to


def test_nothing_of_one_handler_s_context_reaches_the_next(make_attempt: Make) -> None:
    variable = contextvars.ContextVar("variable", default="fresh")
    variable.set("the application's")
    engine = Engine()

    async def handler(task: Task) -> str:
        seen = variable.get()
        variable.set(task.key)
        return seen

    executor = engine.executor(handler, 1)
    executor.start()
    executor.submit([make_attempt(elapsed()) for _ in range(5)])
    assert engine.wait(5) == [Returned("fresh")] * 5
    executor.close()


def test_as_many_run_at_once_as_there_is_room_for_and_no_more(make_attempt: Make) -> None:
    engine = Engine()
    running, most = 0, 0
    gate = asyncio.Event()

    async def handler(task: Task) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 200:
            gate.set()
        await gate.wait()
        await asyncio.sleep(0)
        running -= 1

    executor = engine.executor(handler, 200)
    executor.start()
    executor.submit([make_attempt(elapsed(), _id=f"{number}") for number in range(250)])
    engine.wait(250)
    executor.close()
    assert most == 200


# On a loop that runs already


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> float:
    """Let a close that waits do so for a minute, and give these seconds."""
    monkeypatch.setattr(executors, "LAST_WORDS", 60.0)
    return 60.0


async def until(over: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not over():  # noqa: ASYNC110 -- nothing tells
            await asyncio.sleep(0)


def on_the_caller_s_loop(body: Callable[[asyncio.AbstractEventLoop], Any]) -> Any:
    async def main() -> Any:
        return await body(asyncio.get_running_loop())

    return asyncio.run(main())


def test_coroutines_run_on_the_loop_that_is_given(make_attempt: Make) -> None:
    engine = Engine()
    ran_on: list[object] = []

    async def handler(task: Task) -> str:
        ran_on.append((asyncio.get_running_loop(), threading.current_thread()))
        await asyncio.sleep(0)
        return task.key

    async def body(loop: asyncio.AbstractEventLoop) -> None:
        executor = engine.executor(handler, 2, loop=loop)
        before = set(threading.enumerate())
        executor.start()
        executor.submit([make_attempt(elapsed()) for _ in range(5)])
        assert set(threading.enumerate()) <= before
        await until(lambda: len(engine.outcomes) == 5)
        assert ran_on == [(loop, threading.current_thread())] * 5
        executor.close()
        await asyncio.sleep(0)
        assert loop.is_running(), "it is neither stopped nor closed"

    on_the_caller_s_loop(body)
    assert engine.outcomes == [Returned("k1")] * 5


@pytest.mark.parametrize("where", ["on the loop", "in another thread"])
def test_a_close_cancels_what_runs_on_a_given_loop_and_does_not_block_it(
    make_attempt: Make, patient: float, where: str
) -> None:
    engine = Engine()
    reasons: list[Any] = []

    async def handler(task: Task) -> None:
        try:
            await forever(task)
        except asyncio.CancelledError as error:
            reasons.extend(error.args)
            raise

    async def body(loop: asyncio.AbstractEventLoop) -> None:
        executor = engine.executor(handler, 2, loop=loop)
        executor.start()
        executor.submit([make_attempt(elapsed()) for _ in range(2)])
        await until(lambda: len(executor._running) == 2)
        if where == "on the loop":
            began = elapsed()
            executor.close()
            assert elapsed() - began < patient / 2
            await until(executor._over.is_set)
        else:
            await asyncio.to_thread(executor.close)
            assert executor._over.is_set(), "it has waited for the handlers"

    on_the_caller_s_loop(body)
    assert reasons == ["shutdown"] * 2


def test_a_close_after_the_end_of_the_given_loop_does_not_wait(make_attempt: Make, patient: float) -> None:
    loop = asyncio.new_event_loop()
    executor = Engine().executor(forever, 1, loop=loop)
    executor.start()
    loop.close()
    began = elapsed()
    executor.close()
    assert elapsed() - began < patient / 2
