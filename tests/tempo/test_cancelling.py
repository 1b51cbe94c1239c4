"""Whatever an awaited operation is doing when it is cancelled, it leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pymongo import MongoClient

from mongoq import AsyncQueue, NewTask, StorageUnavailable, Task, TaskState
from mongoq.storage.drivers.awaited.driver import AsyncDriver
from proving.tempos import eventually

pytestmark = [
    pytest.mark.usefixtures("unclosed"),
    # PyMongo 4.20 leaves the socket of a cancelled connect to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


class Cutting(AsyncDriver):
    """A driver that cancels who awaits it at its n-th command: before it, or while it is on its way."""

    left = -1
    when = "before"
    met = False
    target: asyncio.Future[Any] | None = None

    async def _answer(self, asked: Any, session: Any) -> Any:
        task = asyncio.current_task()
        self.left -= task is self.target
        if self.left != 0 or task is not self.target or task is None:
            return await super()._answer(asked, session)
        self.met = True
        if self.when == "before":
            task.cancel()
        elif self.when == "while":
            asyncio.get_running_loop().call_soon(task.cancel)
        return await super()._answer(asked, session)


def cut(queue: AsyncQueue, nth: int, when: str) -> Cutting:
    driver: Any = queue._base.driver
    driver.__class__ = Cutting
    driver.left, driver.when, driver.met = nth, when, False
    return driver  # type: ignore[no-any-return]


def open_transactions(uri: str) -> list[Any]:
    with MongoClient[Any](uri) as client:
        rows = client["admin"].aggregate([{"$currentOp": {"idleSessions": True, "allUsers": True}}])
        return [row["lsid"] for row in rows if "transaction" in row]


async def held(queue: AsyncQueue) -> Task:
    task = await queue.try_claim("mine")
    if task is None:
        await queue.new(queue="mine")
        task = await queue.try_claim("mine")
    assert task is not None
    return task


async def transaction(queue: AsyncQueue) -> None:
    async with queue.transaction(await held(queue)) as session:
        await session.client["shop"][f"{queue.namespace}.orders"].insert_one({}, session=session)


async def kept(queue: AsyncQueue) -> None:
    async with queue.keepalive(await held(queue)):
        await queue.size()


async def stream(queue: AsyncQueue) -> None:
    async with contextlib.aclosing(queue.claims(timeout=0)) as tasks:  # type: ignore[type-var]
        async for _ in tasks:
            await queue.size()


async def buffered(queue: AsyncQueue) -> None:
    async with queue.buffer() as buffer:
        await buffer.new({"by": "buffer"}, queue="mine")


async def waited(queue: AsyncQueue) -> None:
    task = await queue.new(queue="mine")
    await queue.wait(task, timeout=0.05)


async def changed(queue: AsyncQueue) -> None:
    task = await queue.new(queue="mine")
    await queue.modify(insert=[NewTask(queue="mine")], change=[task.as_change(priority=1)])


VERBS: dict[str, Callable[[AsyncQueue], Awaitable[object]]] = {
    "transaction": transaction,
    "keepalive": kept,
    "claims": stream,
    "buffer": buffered,
    "wait": waited,
    "modify": changed,
    "try_claim": lambda queue: queue.try_claim(),
    "claim": lambda queue: queue.claim("nothing", timeout=0.05),
    "claim_many": lambda queue: queue.claim_many(3),
    "load": lambda queue: queue.load([{"n": n} for n in range(2_100)], queue="mine"),
    "run": lambda queue: queue.run(handler, queues="mine", burst=True),
    "stats": lambda queue: queue.stats(),
}


async def handler(task: Task) -> None:
    await asyncio.sleep(0)


@pytest.mark.parametrize("when", ["before", "while"])
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_that_is_cancelled_anywhere_leaves_nothing_behind(
    serve: Callable[..., None], uri: str, verb: str, when: str
) -> None:
    async def body(queue: AsyncQueue) -> None:
        await queue.new_many([{"n": n} for n in range(5)])
        nth = 0
        while True:
            nth += 1
            driver = cut(queue, nth, when)
            working = driver.target = asyncio.ensure_future(VERBS[verb](queue))
            (ended,) = await asyncio.wait_for(asyncio.gather(working, return_exceptions=True), 20)
            driver.left = -1
            assert ended is None or isinstance(ended, asyncio.CancelledError) or not isinstance(ended, BaseException)
            if isinstance(ended, Task | list) and ended:
                await queue.release(ended)
            if not driver.met:
                break
        assert nth > 1
        await eventually(lambda: not queue._base.driver._beside, "what went on alone has ended")

        async def none_held() -> bool:
            return await queue.count(queue="default", state="running") == 0

        await eventually(none_held, "what was claimed is given back", 5)
        hand = queue._base._hand
        if hand is not None:
            assert not hand._keepalives._known
            assert not hand._results._waiting
            assert not any(place._waiting or place._count for place in hand._places._known.values())
        await eventually(lambda: all(handle.stopped for handle in queue._base.handles), "no worker is left")
        assert await asyncio.to_thread(open_transactions, uri) == []
        gc.collect()

    serve(body, lease=60)


def test_a_call_that_is_cancelled_among_others_leaves_their_write_to_them(serve: Callable[..., None]) -> None:
    async def body(queue: AsyncQueue) -> None:
        gathering = queue._base.gatherer._gathering
        calls = [asyncio.ensure_future(queue.new({"n": n})) for n in range(5)]
        while len(gathering._calls) < 4:
            await asyncio.sleep(0)
        calls[1].cancel()  # it waits yet
        while gathering._calls:
            await asyncio.sleep(0)
        calls[2].cancel()  # it is on its way
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert [n for n, one in enumerate(ended) if isinstance(one, asyncio.CancelledError)] == [1, 2]
        assert [one.tags for one in ended if isinstance(one, Task)] == [{"n": n} for n in (0, 3, 4)]
        assert [task.tags["n"] for task in await queue.tasks()] == [0, 2, 3, 4]


def test_a_writer_that_is_cancelled_tells_all_that_it_was_to_write(serve: Callable[..., None]) -> None:
    async def body(queue: AsyncQueue) -> None:
        for turns in (0, 1, 3):  # before it begins, and later
            calls = [queue.submit({"n": n}) for n in range(300)]
            (writer,) = queue._base.driver._beside
            for _ in range(turns):
                await asyncio.sleep(0)
            writer.cancel()
            ended = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(one) for one in ended} == {StorageUnavailable}
        assert (await queue.new({"n": -1})).tags == {"n": -1}

    serve(body)


def test_a_stream_that_is_dropped_releases_its_task(serve: Callable[..., None]) -> None:
    async def body(queue: AsyncQueue) -> None:
        await queue.new(key="a")
        async for task in queue.claims():
            assert task.key == "a"
            break
        gc.collect()

        async def ready() -> bool:
            return (await queue.get("a")).state is TaskState.READY

        await eventually(ready, "it is released")
        with pytest.raises(ZeroDivisionError):
            async for _ in queue.claims():
                raise ZeroDivisionError
        await eventually(ready, "it is released")

    serve(body)


def test_a_stream_that_is_cancelled_in_its_body_releases_its_task(serve: Callable[..., None]) -> None:
    async def body(queue: AsyncQueue) -> None:
        await queue.new(key="a")
        entered = asyncio.Event()

        async def work() -> None:
            async for _ in queue.claims():
                entered.set()
                await asyncio.Event().wait()

        working = asyncio.create_task(work())
        await entered.wait()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        del working

        async def ready() -> bool:
            return (await queue.get("a")).state is TaskState.READY

        await eventually(ready, "it is released")

    serve(body)


@pytest.mark.parametrize(
    "error", [StopIteration(), StopAsyncIteration(), ZeroDivisionError(), asyncio.CancelledError()]
)
def test_what_a_block_raises_passes_and_aborts(serve: Callable[..., None], uri: str, error: BaseException) -> None:
    async def body(queue: AsyncQueue) -> None:
        task = await held(queue)
        caught: BaseException | None = None
        try:
            async with queue.keepalive(task), queue.transaction(task):
                raise error
        except BaseException as raised:  # noqa: BLE001 -- it is compared
            caught = raised
        assert caught is error
        assert (await queue.get(task.key)).state is TaskState.RUNNING
        assert await asyncio.to_thread(open_transactions, uri) == []
        await queue.complete(task)

    serve(body)


def test_a_block_in_a_generator_that_is_closed_is_left_as_by_an_error(serve: Callable[..., None], uri: str) -> None:
    async def body(queue: AsyncQueue) -> None:
        task = await held(queue)

        async def within() -> Any:
            async with queue.transaction(task) as session:
                yield session

        generator = within()
        assert await anext(generator) is not None
        await generator.aclose()
        assert (await queue.get(task.key)).state is TaskState.RUNNING
        assert await asyncio.to_thread(open_transactions, uri) == []
        await queue.complete(task)

    serve(body)


def test_scopes_may_be_nested(serve: Callable[..., None]) -> None:
    async def body(queue: AsyncQueue) -> None:
        await queue.new_many([{"n": n} for n in range(3)])
        some = await queue.claim_many(2)
        async with queue.buffer() as buffer, queue.keepalive(some) as kept:
            async with queue.transaction(some[0]), queue.keepalive(some[1]):
                await buffer.new(key="x")
                async with asyncio.timeout(10):
                    await queue.get("x")
            await queue.complete(some[1])
            assert kept.lost == ()
        assert await queue.count(state="completed") == 2

    serve(body)


def test_a_time_limit_in_the_middle_of_a_transaction_aborts_it(serve: Callable[..., None], uri: str) -> None:
    async def body(queue: AsyncQueue) -> None:
        task = await held(queue)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3), queue.transaction(task):
                await asyncio.Event().wait()
        assert await asyncio.to_thread(open_transactions, uri) == []
        await queue.complete(task)
        assert (await queue.get(task.key)).state is TaskState.COMPLETED

    serve(body)
