"""One who waits, and another thread that notifies: before, while, and after."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from mongoq.core.host.waiter import Waiter
from mongoq.storage.drivers.awaited.awaiting import called, wait
from mongoq.storage.drivers.waiting import wait as wait_in_a_thread


def test_a_notification_before_the_wait_is_not_lost() -> None:
    waiter, woken = Waiter(), threading.Event()
    waiter.notify()
    waiter.attach(woken.set)
    assert woken.is_set()
    assert waiter.notified


def test_a_notification_wakes_who_is_attached() -> None:
    waiter, calls = Waiter(), list[int]()
    waiter.attach(lambda: calls.append(1))
    assert not waiter.notified
    waiter.notify()
    assert calls == [1]
    waiter.attach(None)
    waiter.notify()
    assert calls == [1]


def test_a_waiter_may_wait_once_more() -> None:
    waiter = Waiter()
    waiter.notify()
    waiter.rearm()
    assert not waiter.notified
    assert wait_in_a_thread(waiter, 0.01) is False


def in_a_thread(waiter: Waiter, seconds: float | None) -> bool:
    return wait_in_a_thread(waiter, seconds)


def on_a_loop(waiter: Waiter, seconds: float | None) -> bool:
    return asyncio.run(wait(waiter, seconds))


@pytest.mark.parametrize("waited", [in_a_thread, on_a_loop])
def test_a_wait_tells_whether_it_was_notified_in_time(waited: Callable[[Waiter, float | None], bool]) -> None:
    assert waited(Waiter(), 0) is False
    assert waited(Waiter(), 0.01) is False
    waiter = Waiter()
    threading.Timer(0.01, waiter.notify).start()
    assert waited(waiter, None) is True
    assert waited(waiter, 0) is True
    assert waiter._wake is None, "nobody is attached any more"


def test_no_notification_is_lost_between_two_threads() -> None:
    for _ in range(500):
        waiter = Waiter()
        other = threading.Thread(target=waiter.notify)
        other.start()
        assert wait_in_a_thread(waiter, 10) is True
        other.join()


def test_a_wait_that_is_cancelled_is_woken_no_more() -> None:
    async def body() -> None:
        waiter = Waiter()
        waiting = asyncio.create_task(wait(waiter, None))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert waiter._wake is None
        waiter.notify()

    asyncio.run(body())


def test_a_notification_after_the_end_of_the_loop_is_harmless() -> None:
    async def begin(waiter: Waiter) -> None:
        waiting = asyncio.ensure_future(wait(waiter, None))
        await asyncio.sleep(0)
        wakes.append(waiter._wake)
        waiting.cancel()

    wakes: list[Callable[[], object] | None] = []
    asyncio.run(begin(Waiter()))
    assert wakes[0] is not None
    wakes[0]()


def test_a_call_runs_in_a_thread_of_its_own_and_raises_what_it_raises() -> None:
    async def body() -> None:
        assert await called(lambda: threading.current_thread().name) == "mongoq-call"
        with pytest.raises(ZeroDivisionError):
            await called(lambda: 1 // 0)

    asyncio.run(body())


def test_a_call_that_nobody_waits_for_any_more_runs_on() -> None:
    began, go, ended = threading.Event(), threading.Event(), threading.Event()

    def function() -> None:
        began.set()
        go.wait(10)
        ended.set()

    async def body() -> None:
        calling = asyncio.ensure_future(called(function))
        while not began.is_set():  # noqa: ASYNC110 -- it is set by a thread
            await asyncio.sleep(0)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling

    asyncio.run(body())
    go.set()
    assert ended.wait(60)
