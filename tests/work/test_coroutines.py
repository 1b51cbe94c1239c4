"""Handlers that are coroutines: all on one event loop, in a thread of its own."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from mongoq import ConfigurationError, Queue, Snooze, Task, TaskState
from mongoq.storage.commands import update_many

Until = Callable[..., None]


async def forever(task: Task) -> None:
    await asyncio.Event().wait()


async def of_two(attempt: Any, task: Task) -> str:
    await asyncio.sleep(0)
    assert attempt is task.attempt
    return task.key


async def of_three(_first: str, attempt: Any, task: Task) -> str:
    return await of_two(attempt, task)


@pytest.mark.parametrize("handler", [of_two, functools.partial(of_three, "first")])
def test_what_a_coroutine_returns_is_the_result(queue: Queue, handler: Any) -> None:
    keys = [queue.new().key for _ in range(3)]
    queue.run(handler, burst=True)

    assert [(queue.get(key).state, queue.get(key).result) for key in keys] == [(TaskState.COMPLETED, k) for k in keys]


def test_a_coroutine_steers_its_task_by_signals(queue: Queue) -> None:
    key = queue.new().key

    async def handler(task: Task) -> None:
        raise Snooze(60)

    queue.run(handler, burst=True)
    assert (queue.get(key).state, queue.get(key).charged) == (TaskState.SCHEDULED, 0)


def test_a_hundred_coroutines_run_at_once_where_nobody_says(make_queue: Callable[..., Queue], until: Until) -> None:
    queue = make_queue()
    handle = queue.start(forever)
    until(lambda: [one for one in queue.workers() if one.id == handle.id], why="its heartbeat")
    assert [one.workers for one in queue.workers()] == [100]


def test_a_burst_of_coroutines_runs_each_once_in_order(make_queue: Callable[..., Queue]) -> None:
    queue = make_queue(workers=1)
    keys = [task.key for task in queue.new_many([{}] * 1_000)]
    ran: list[str] = []

    async def handler(task: Task) -> None:
        ran.append(task.key)

    queue.run(handler, burst=True)
    assert ran == keys


def test_a_cancel_request_cancels_the_waiting_coroutine(queue: Queue, events: Any) -> None:
    key = queue.new().key
    queue.start(forever)
    events.wait("task.started")
    queue.cancel(key)
    events.wait("tasks.finished")

    assert queue.get(key).state is TaskState.CANCELLED


def test_a_lost_lease_cancels_the_coroutine_and_its_late_ending_is_refused(
    make_queue: Callable[..., Queue], watch: Any, until: Until
) -> None:
    queue = make_queue(workers=1)
    events = watch(queue)
    key = queue.new(priority=1).key
    gate = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []
    reasons: list[Any] = []
    ran: list[str] = []

    async def handler(task: Task) -> str:
        ran.append(task.key)
        if task.key == key:
            loops.append(asyncio.get_running_loop())
            try:
                await forever(task)
            except asyncio.CancelledError as error:
                reasons.extend(error.args)
            await gate.wait()
        return "too late"

    handle = queue.start(handler)
    events.wait("task.started")
    # Another claimant has it now: only the token tells.
    taken = {"$set": {"hold.token": "another's"}}
    queue._base.driver.run(update_many(f"{queue.namespace}.tasks", {"_id": key}, taken))
    events.wait("task.lease_lost")
    until(lambda: reasons, why="the handler learns it")
    assert reasons == ["lease lost"]

    other = queue.new().key
    assert (handle._engine.ledger.active, ran) == (1, [key]), "a handler that does not stop keeps its slot"
    loops[0].call_soon_threadsafe(gate.set)
    until(lambda: queue.get(other).finished, why="the slot is free again")
    assert (queue.get(key).state, queue.get(key).result) == (TaskState.RUNNING, None)


def test_a_coroutine_that_blocks_the_loop_does_not_lose_its_lease(make_queue: Callable[..., Queue], watch: Any) -> None:
    queue = make_queue(workers=1, lease=1)
    events = watch(queue)
    key = queue.new().key

    async def handler(task: Task) -> str:
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            task.raise_if_cancelled()
        return "undisturbed"

    queue.run(handler, burst=True)
    assert (queue.get(key).attempts, queue.get(key).result) == (1, "undisturbed")
    assert not events.of("task.lease_lost")


def test_a_coroutine_that_blocks_the_loop_still_learns_its_deadline_when_it_asks(queue: Queue, events: Any) -> None:
    key = queue.new(deadline=0.1, max_retries=0).key

    async def handler(task: Task) -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            task.raise_if_cancelled()

    queue.start(handler)
    events.wait("tasks.finished")
    error = queue.get(key).last_error
    assert error is not None
    assert error.type == "DeadlineExceeded"


def test_a_stopping_worker_tells_its_coroutines_and_lets_them_end(queue: Queue, events: Any) -> None:
    keys = [queue.new({"polite": polite}).key for polite in (True, False)]
    told = asyncio.Event()

    async def handler(task: Task) -> str:
        if task.get("polite"):
            while not task.cancelled:  # noqa: ASYNC110 -- a handler that asks
                await asyncio.sleep(0.005)
            told.set()
            task.raise_if_cancelled()
        await told.wait()
        return "ended"

    handle = queue.start(handler)
    events.wait("task.started", 2)
    handle.stop(20)

    polite, other = map(queue.get, keys)
    assert (polite.state, polite.charged) == (TaskState.READY, 0)
    assert (other.state, other.result) == (TaskState.COMPLETED, "ended")


def test_what_outlives_the_grace_is_released_and_cancelled(queue: Queue, events: Any) -> None:
    keys = [queue.new().key for _ in range(2)]
    reasons: list[Any] = []

    async def handler(task: Task) -> None:
        try:
            await forever(task)
        except asyncio.CancelledError as error:
            reasons.extend(error.args)
            await asyncio.sleep(0.01)
            raise

    handle = queue.start(handler)
    events.wait("task.started", 2)
    handle.stop(0.2)

    assert [(queue.get(key).state, queue.get(key).charged) for key in keys] == [(TaskState.READY, 0)] * 2
    assert reasons == ["shutdown"] * 2


def test_the_loop_ends_with_its_worker_and_what_its_handlers_left_behind(queue: Queue, until: Until) -> None:
    before = set(threading.enumerate())
    queue.new()
    cancelled: list[bool] = []
    left: list[asyncio.Task[None]] = []

    async def linger() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def handler(task: Task) -> None:
        left.append(asyncio.create_task(linger()))
        await asyncio.sleep(0)

    queue.run(handler, burst=True)
    assert cancelled == [True]
    until(lambda: not any(thread.name == "mongoq-asyncio" for thread in set(threading.enumerate()) - before))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_exit_in_a_task_that_a_coroutine_made_does_not_end_the_loop(queue: Queue, caplog: Any) -> None:
    key = queue.new(max_retries=0, priority=1).key
    other = queue.new().key

    async def leave() -> None:
        raise SystemExit(3)

    async def handler(task: Task) -> str:
        if task.key == key:
            await asyncio.create_task(leave())
        return "alive"

    queue.run(handler, burst=True)
    failed = queue.get(key)
    assert failed.last_error is not None
    assert (failed.state, failed.last_error.type) == (TaskState.FAILED, "SystemExit")
    assert queue.get(other).result == "alive"
    assert "the event loop went on" in caplog.text


def test_handlers_and_executors_that_do_not_fit_are_refused(queue: Queue) -> None:
    with pytest.raises(ConfigurationError, match=r"executor='threads': coroutines need 'asyncio'"):
        queue.run(forever, executor="threads")
    with pytest.raises(ConfigurationError, match=r"executor='asyncio': others need 'threads'"):
        queue.start(lambda task: None, executor="asyncio")
    with pytest.raises(ConfigurationError, match=r"executor: 'thread' .* did you mean 'threads'"):
        queue.run_once(forever, executor="thread")
