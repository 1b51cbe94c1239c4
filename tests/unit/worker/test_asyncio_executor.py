from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from mongoq.core.clock import elapsed
from mongoq.core.signals import Interruption
from mongoq.core.task import Task
from mongoq.core.verdict import Ending, Raised, Returned
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.executors.asyncio import AsyncioExecutor
from mongoq.worker.executors.base import Reports
from mongoq.worker.handlers.signature import Function, Handler

Make = Callable[..., LiveAttempt]


class Engine:
    """What an executor reports, to be waited for."""

    def __init__(self) -> None:
        self.endings: list[Ending] = []
        self._changed = threading.Condition()

    def ended(self, _attempt: LiveAttempt, ending: Ending, _seconds: float) -> None:
        with self._changed:
            self.endings.append(ending)
            self._changed.notify_all()

    def wait(self, count: int) -> list[Ending]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.endings) >= count, timeout=10)
        return self.endings

    def executor(self, function: Function, workers: int) -> AsyncioExecutor:
        return AsyncioExecutor(Handler(function, takes_attempt=False), workers, Reports(lambda _: True, self.ended))


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
    assert engine.endings == []


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
    assert entered.wait(10)
    attempt.lease_until = elapsed() + 0.2
    assert 0.1 < executor.step() <= 0.2, "the next look is due when the lease ends"
    attempt.lease_until = elapsed()
    assert executor.step() == 1
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
    post, executor._post = executor._post, calls.append  # type: ignore[method-assign,assignment]
    executor.submit([make_attempt(elapsed()) for _ in range(500)])
    assert len(calls) == 1
    executor._post = post  # type: ignore[method-assign]
    executor.submit([])
    executor.start()
    assert engine.wait(500) == [Returned("k1")] * 500
    executor.close()
    executor.close()
    assert not executor._thread.is_alive()
