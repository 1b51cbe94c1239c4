"""Workers of an event loop: where handlers run, what a cancellation of `run` does, and who ends a worker."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from mongoq import AsyncQueue, Attempt, DependencyError, NewTask, QueueClosed, Stop, Task, TaskState
from mongoq.core.events import Signpost
from mongoq.worker.engine import Engine
from proving.tempos import eventually


class Gate:
    """A coroutine handler that waits at a gate, so that a test decides when it goes on."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.entered: list[str] = []

    async def __call__(self, task: Task) -> None:
        self.entered.append(task.key)
        await self.opened.wait()


def test_a_handler_that_blocks_the_loop_for_three_leases_keeps_its_lease(serve: Callable[..., None]) -> None:
    async def body(queue: AsyncQueue) -> None:
        ran: list[str] = []

        async def handler(task: Task) -> None:
            ran.append(task.key)
            threading.Event().wait(3)  # as a long computation does
            assert not task.cancelled

        task = await queue.new()
        await queue.run(handler, burst=True)
        done = await queue.get(task.key)
        assert (ran, done.state, done.attempts) == ([task.key], TaskState.COMPLETED, 1)

    serve(body, lease=1)


def test_a_cancelled_run_lets_its_handlers_end_and_releases_the_rest(serve: Callable[..., None]) -> None:
    async def body(queue: AsyncQueue) -> None:
        gate = Gate()
        made = await queue.new_many([{"n": n} for n in range(5)])
        working = asyncio.create_task(queue.run(gate, workers=2))
        await eventually(lambda: len(gate.entered) == 2, "two run")
        working.cancel()

        async def released() -> bool:
            [handle] = queue._base.handles
            return handle._engine.ledger.stopping and await queue.count(state="ready") == 3

        await eventually(released, "the rest is released while two run")
        assert not working.done()
        gate.opened.set()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(working, 10)
        tasks = [await queue.get(task.key) for task in made]
        assert [task.state.value for task in tasks] == ["completed"] * 2 + ["ready"] * 3
        assert all(task.attempts == task.uncharged for task in tasks[2:])
        assert len(gate.entered) == 2

    serve(body, grace=30)


def test_a_run_that_is_cancelled_twice_stops_at_once(serve: Callable[..., None]) -> None:
    async def body(queue: AsyncQueue) -> None:
        gate = Gate()
        task = await queue.new()
        working = asyncio.create_task(queue.run(gate))
        await eventually(lambda: gate.entered, "it runs")
        working.cancel()
        await eventually(lambda: queue._base.handles[0]._engine.ledger.stopping, "it drains")
        assert not working.done()
        began = time.monotonic()
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(working, 60)
        assert time.monotonic() - began < 40, "the grace is 60 s"
        assert (await queue.get(task.key)).state is TaskState.READY

    serve(body, grace=60)


def test_a_run_that_is_cancelled_while_it_begins_drains(
    serve: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = threading.Event()
    begin = Engine.start

    def start(engine: Engine, made: Callable[[], None]) -> None:
        begin(engine, made)
        hold.wait(20)

    async def body(queue: AsyncQueue) -> None:
        gate = Gate()
        task = await queue.new()
        working = asyncio.create_task(queue.run(gate))
        await eventually(lambda: gate.entered, "it runs")
        working.cancel()
        await asyncio.wait({working}, timeout=0.1)
        assert not working.done(), "it has not begun yet"
        hold.set()
        await eventually(lambda: queue._base.handles[0]._engine.ledger.stopping, "it drains")
        gate.opened.set()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(working, 60)
        assert (await queue.get(task.key)).state is TaskState.COMPLETED
        assert all(handle.stopped for handle in queue._base.handles)

    monkeypatch.setattr(Engine, "start", start)
    serve(body, grace=60)


def test_a_time_limit_around_run_drains(serve: Callable[..., None]) -> None:
    async def body(queue: AsyncQueue) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await queue.run(lambda task: None)
        assert all(handle.stopped for handle in queue._base.handles)

    serve(body)


def test_stop_ends_run_without_an_error(serve: Callable[..., None]) -> None:
    async def body(queue: AsyncQueue) -> None:
        async def handler(task: Task) -> None:
            queue.stop()

        task = await queue.new()
        await asyncio.wait_for(queue.run(handler), 20)
        assert (await queue.get(task.key)).state is TaskState.COMPLETED

    serve(body)


def test_a_refused_change_that_ends_the_worker_is_raised_by_run(serve: Callable[..., None]) -> None:
    async def body(queue: AsyncQueue) -> None:
        async def handler(task: Task) -> Any:
            return NewTask(key="taken")

        await queue.new(key="taken", delay=3600)
        await queue.new()
        with pytest.raises(DependencyError):
            await asyncio.wait_for(queue.run(handler, on_dependency_error="stop"), 20)
        await queue.new(key="b")
        handle = await queue.start(handler, on_dependency_error="stop")
        assert await handle.wait(timeout=60)
        assert isinstance(handle.error, DependencyError)

    serve(body, max_retries=0)


def test_a_handler_that_raises_stop_ends_the_worker(serve: Callable[..., None]) -> None:
    async def body(queue: AsyncQueue) -> None:
        async def handler(task: Task) -> None:
            raise Stop("no password")

        task = await queue.new()
        with pytest.raises(Stop, match="no password"):
            await asyncio.wait_for(queue.run(handler), 20)
        with pytest.raises(Stop, match="no password"):
            await asyncio.wait_for(queue.run_once(handler), 20)
        handle = await queue.start(handler)
        assert await handle.wait(timeout=60)
        assert isinstance(handle.error, Stop)
        released = await queue.get(task.key)
        assert (released.state, released.charged) == (TaskState.READY, 0)

    serve(body)


def test_a_lifespan_and_middleware_run_on_the_loop_of_the_handlers(serve: Callable[..., None]) -> None:
    async def body(queue: AsyncQueue) -> None:
        loops: list[Any] = []

        @queue.lifespan
        async def opened() -> AsyncIterator[str]:
            loops.append(asyncio.get_running_loop())
            yield "shared"
            loops.append(asyncio.get_running_loop())

        @queue.middleware
        async def noted(task: Task) -> AsyncIterator[None]:
            loops.append(asyncio.get_running_loop())
            yield

        async def handler(attempt: Attempt, task: Task) -> Any:
            return attempt.state

        task = await queue.new()
        await queue.run(handler, burst=True)
        assert (await queue.get(task.key)).result == "shared"
        assert loops == [asyncio.get_running_loop()] * 3

    serve(body)


def test_a_stop_that_is_cancelled_goes_on(serve: Callable[..., None]) -> None:
    async def body(queue: AsyncQueue) -> None:
        gate = Gate()
        task = await queue.new()
        handle = await queue.start(gate)
        await eventually(lambda: gate.entered, "it runs")
        stopping = asyncio.create_task(handle.stop(timeout=30))
        waiting = asyncio.create_task(handle.wait())
        await eventually(lambda: queue._base.handles[0]._engine.ledger.stopping, "it drains")
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        assert not handle.stopped
        gate.opened.set()
        assert await asyncio.wait_for(waiting, 20) is True
        assert handle.stopped
        assert (await queue.get(task.key)).state is TaskState.COMPLETED
        assert "stopped" in dir(handle)

    serve(body)


def test_closing_the_queue_stops_its_workers(serve: Callable[..., None]) -> None:
    async def body(queue: AsyncQueue) -> None:
        gate = Gate()
        await queue.new()
        running = asyncio.create_task(queue.run(gate))
        await eventually(lambda: gate.entered, "it runs")
        gate.opened.set()
        await asyncio.wait_for(asyncio.gather(queue.close(), queue.close()), 20)
        await asyncio.wait_for(asyncio.gather(running), 20)
        with pytest.raises(QueueClosed):
            await queue.start(gate)

    serve(body)


def test_a_close_that_is_cancelled_goes_on(serve: Callable[..., None]) -> None:
    async def body(queue: AsyncQueue) -> None:
        gate = Gate()
        await queue.new()
        handle = await queue.start(gate)
        await eventually(lambda: gate.entered, "it runs")
        closing = asyncio.create_task(queue.close())
        await eventually(lambda: queue._base.handles[0]._engine.ledger.stopping, "it drains")
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        gate.opened.set()
        await asyncio.wait_for(queue.close(), 20)
        assert handle.stopped

    serve(body, grace=30)


def test_handlers_may_use_the_queue_that_runs_them(serve: Callable[..., None]) -> None:
    async def body(queue: AsyncQueue) -> None:
        events: list[str] = []
        queue.telemetry.subscribe(lambda name, fields: events.append(name))

        async def handler(task: Task) -> Any:
            if task.tags["n"] == 0:
                async with queue.transaction(task):
                    await queue.new({"n": 1}, key="next")
                return None
            async with asyncio.timeout(20):
                async with queue.buffer() as buffer:
                    await buffer.new({"n": 2}, queue="other")
                return await queue.count(queue="other")

        await queue.new({"n": 0})
        await queue.run(handler, burst=True)
        assert (await queue.get("next")).result == 1
        assert Signpost.FINISHED in events

    serve(body)
