"""Who waits on an event loop: a thousand at once, none of them in a thread, and none of them forgotten."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from pymongo import MongoClient

from mongoq import AsyncQueue, ConfigurationError, Queue, QueueClosed, Task, TaskState
from proving.tempos import LoopThread, eventually

MANY = 1_000
UNCLOSED = "ignore:unclosed <socket:ResourceWarning"
"""PyMongo 4.20 leaves the socket of a cancelled connect to the garbage collector."""


def waiting(queue: AsyncQueue) -> int:
    """How many coroutines wait for the end of a task."""
    hand = queue._base._hand
    return 0 if hand is None else sum(len(some) for some in hand._results._waiting.values())


def asking(queue: AsyncQueue) -> int:
    """How many coroutines wait for a claim."""
    hand = queue._base._hand
    return 0 if hand is None else sum(len(place._waiting) for place in hand._places._known.values())


@asynccontextmanager
async def cancelled_at_the_end(some: list[asyncio.Task[Any]]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for one in some:
            one.cancel()
        await asyncio.gather(*some, return_exceptions=True)


def streams(uri: str, collection: str) -> int:
    """How many change streams of a collection stand on the server."""
    with MongoClient[Any](uri) as client:
        operations = client["admin"].aggregate([{"$currentOp": {"idleCursors": True, "allUsers": True}}])
        cursors = {
            str(row["cursor"]["cursorId"])
            for row in operations
            if row.get("ns", "").endswith(collection)
            and "$changeStream" in str(row.get("cursor", {}).get("originatingCommand", ""))
        }
    return len(cursors)


def test_a_thousand_wait_over_one_stream_and_no_thread_of_their_own(serve: Callable[..., None], uri: str) -> None:
    async def body(queue: AsyncQueue) -> None:
        made = await queue.new_many([{"n": n} for n in range(MANY)])
        await queue.wait(made[0], timeout=0.01)  # makes what waits
        threads = threading.active_count()
        ends = [asyncio.create_task(queue.wait(task, timeout=60)) for task in made]
        async with cancelled_at_the_end(ends):
            await eventually(lambda: waiting(queue) == MANY, "all wait")
            await eventually(lambda: queue._base._hand._results._stream.open, "a stream stands")  # type: ignore[union-attr]
            assert threading.active_count() <= threads + 2
            assert await asyncio.to_thread(streams, uri, f"{queue.namespace}.tasks") == 1
            held = await queue.claim_many(MANY)
            await queue.complete(held, "done")
            ended = await asyncio.gather(*ends)
        assert [task.key for task in ended if task is not None] == [task.key for task in made]
        assert {task.result for task in ended if task is not None} == {"done"}
        assert waiting(queue) == 0

    serve(body)


def test_each_task_goes_to_one_of_those_who_wait(serve: Callable[..., None]) -> None:
    async def body(queue: AsyncQueue) -> None:
        threads = threading.active_count()
        claims = [asyncio.create_task(queue.claim(timeout=30)) for _ in range(50)]
        async with cancelled_at_the_end(claims):
            await eventually(lambda: asking(queue) == 50, "all wait")
            assert threading.active_count() <= threads + 12
            made = await queue.new_many([{"n": n} for n in range(50)])
            claimed = await asyncio.gather(*claims)
        assert sorted(task.key for task in claimed if task is not None) == sorted(task.key for task in made)

    serve(body)


@pytest.mark.usefixtures("unclosed")
@pytest.mark.filterwarnings(UNCLOSED)
def test_who_is_cancelled_while_it_waits_passes_the_wake_up_on(serve: Callable[..., None]) -> None:
    async def body(queue: AsyncQueue) -> None:
        for _ in range(10):
            claims = [asyncio.create_task(queue.claim(timeout=30)) for _ in range(6)]
            async with cancelled_at_the_end(claims):
                await eventually(lambda: asking(queue) == 6, "all wait")
                made = asyncio.create_task(queue.new_many([{}, {}, {}]))
                for one in claims[:3]:
                    await asyncio.sleep(0.001)
                    one.cancel()
                await made
                gone = await asyncio.gather(*claims[:3], return_exceptions=True)
                had = [task for task in gone if isinstance(task, Task)]
                others, expected = claims[3:], 3 - len(had)
                await eventually(partial(_so_many_done, others, expected), "all have a task", 10)
                got = [one.result() for one in others if one.done()]
                await queue.complete([*had, *(task for task in got if task is not None)])
            assert await queue.empty()

    serve(body)


@pytest.mark.usefixtures("unclosed")
@pytest.mark.filterwarnings(UNCLOSED)
def test_what_a_cancelled_claim_took_is_ready_again_at_once(serve: Callable[..., None]) -> None:
    async def body(queue: AsyncQueue) -> None:
        await queue.new_many([{"n": n} for n in range(40)])
        for verb in (queue.try_claim, queue.claim, lambda: queue.claim_many(3)):
            for steps in range(12):
                claim = asyncio.create_task(verb())
                for _ in range(steps):
                    await asyncio.sleep(0)
                claim.cancel()
                (taken,) = await asyncio.gather(claim, return_exceptions=True)
                if not isinstance(taken, BaseException) and taken is not None:
                    await queue.release(taken)

        async def all_ready() -> bool:
            return await queue.count(state="ready") == 40

        await eventually(all_ready, "what was taken is given back", 10)
        assert all(task.uncharged == task.attempts for task in await queue.tasks())

    serve(body, lease=60)


@pytest.mark.usefixtures("unclosed")
@pytest.mark.filterwarnings(UNCLOSED)
def test_waiting_ends_with_the_queue(serve: Callable[..., None]) -> None:
    async def body(queue: AsyncQueue) -> None:
        task = await queue.new(queue="other")
        some = [asyncio.create_task(queue.wait(task)) for _ in range(3)]
        some += [asyncio.create_task(queue.claim()) for _ in range(3)]
        join = asyncio.create_task(queue.join())
        async with cancelled_at_the_end([*some, join]):
            await eventually(lambda: waiting(queue) == 3 and asking(queue) == 3, "all wait")
            await queue.close()
            ended = await asyncio.wait_for(asyncio.gather(*some, join, return_exceptions=True), 5)
        assert [type(error) for error in ended] == [QueueClosed] * 7

    serve(body)


def test_waiting_in_a_time_limit_of_the_caller_s_leaves_nothing_behind(serve: Callable[..., None]) -> None:
    async def body(queue: AsyncQueue) -> None:
        task = await queue.new(queue="other")
        for wait in (queue.claim, lambda: queue.wait(task), queue.join):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await wait()
        assert waiting(queue) == asking(queue) == 0

        def rest() -> set[Any]:
            return {one for one in asyncio.all_tasks() if not is_driver(one)} - {asyncio.current_task()}

        await eventually(lambda: not rest(), "a read that was cancelled in its snapshot has ended it")

    serve(body)


def is_driver(task: asyncio.Task[Any]) -> bool:
    """Whether a task is the MongoDB client's own."""
    return "pymongo" in repr(task.get_coro()) or "_run" in repr(task.get_coro()) or "Executor" in repr(task)


def test_two_loops_have_a_queue_each(uri: str) -> None:
    namespace = f"t-{secrets.token_hex(4)}"
    loops = [LoopThread() for _ in range(2)]

    async def work(mine: str, other: str) -> list[Any]:
        async with AsyncQueue(uri, namespace=namespace, grace=1) as queue:
            handle = await queue.start(answer, queues=mine)
            made = await queue.new_many([{"n": n} for n in range(30)], queue=other)
            ended = await asyncio.gather(*(queue.wait(task, timeout=30) for task in made))
            await queue.join(timeout=30)
            await handle.stop()
            return [None if task is None else task.result for task in ended]

    async def answer(task: Task) -> int:
        return task.tags["n"]  # type: ignore[no-any-return]

    working = [loop.begin(work(*names)) for loop, names in zip(loops, (("a", "b"), ("b", "a")), strict=True)]
    assert [one.result(60) for one in working] == [list(range(30))] * 2
    for loop in loops:
        loop.close()


def test_a_queue_that_is_used_from_a_second_loop_says_so(uri: str, loop: LoopThread) -> None:
    async def made() -> AsyncQueue:
        queue = AsyncQueue(uri, namespace=f"t-{secrets.token_hex(4)}")
        await queue.new()
        return queue

    queue = loop.run(made())
    other = LoopThread()
    with pytest.raises(ConfigurationError, match="open an AsyncQueue for each loop"):
        other.run(queue.size())
    other.close()
    assert loop.run(queue.size()) == 1
    loop.run(queue.close())


def test_a_queue_made_where_no_loop_runs_serves_the_first_that_does(uri: str) -> None:
    queue = AsyncQueue(uri, namespace=f"t-{secrets.token_hex(4)}")

    async def body() -> int:
        async with queue:
            await queue.new()
            return await queue.size()

    assert asyncio.run(body()) == 1


def test_the_end_of_a_task_is_told_to_both_tempos(serve: Callable[..., None], uri: str) -> None:
    async def body(queue: AsyncQueue) -> None:
        task = await queue.new()
        with Queue(uri, namespace=queue.namespace) as blocking:
            end = asyncio.create_task(asyncio.to_thread(blocking.wait, task, timeout=20))
            mine = asyncio.create_task(queue.wait(task, timeout=60))
            held = await queue.claim(timeout=60)
            assert held is not None
            await queue.complete(held)
            assert [one.state for one in await asyncio.gather(end, mine) if one] == [TaskState.COMPLETED] * 2

    serve(body)


def _so_many_done(claims: Any, count: int) -> bool:
    return bool(sum(one.done() for one in claims) == count)
