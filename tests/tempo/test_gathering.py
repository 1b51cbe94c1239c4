"""Concurrent calls of `new` on one AsyncQueue go together; `submit` in both tempos."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pymongo
import pytest
from pymongo import AsyncMongoClient, MongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from mongoq import AsyncQueue, DuplicateTask, InvalidTask, QueueClosed, QueueFull, StorageRefused, Task
from mongoq.api.gathering import calls
from proving.tempos import Face, LoopThread


class Inserts(CommandListener):
    """The sizes of the inserts that a client sends."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command.get("insert", "").endswith(".tasks"):
            self.sizes.append(len(event.command["documents"]))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


@pytest.fixture
def listened(uri: str, loop: LoopThread) -> Callable[..., None]:
    """Give `listened(body)`: run `body(queue, inserts)` on an event loop, with a client that is listened to."""

    async def run(body: Any) -> None:
        inserts = Inserts()
        async with AsyncMongoClient[Any](uri, event_listeners=[inserts]) as client, AsyncQueue(client) as queue:
            await queue.init()
            await body(queue, inserts)

    return lambda body: loop.run(run(body))


def test_calls_that_come_while_one_is_under_way_go_together(listened: Callable[..., None]) -> None:
    async def body(queue: AsyncQueue, inserts: Inserts) -> None:
        made = await asyncio.gather(*(queue.new({"n": n}, priority=n) for n in range(100)))
        assert [(task.tags["n"], task.priority) for task in made] == [(n, n) for n in range(100)]
        assert inserts.sizes == [1, 99]
        assert {task.key for task in await queue.tasks(limit=None)} >= {task.key for task in made}

    listened(body)


def test_a_lone_call_goes_at_once_and_by_itself(listened: Callable[..., None]) -> None:
    async def body(queue: AsyncQueue, inserts: Inserts) -> None:
        for n in range(5):
            await queue.new({"n": n})
        assert inserts.sizes == [1] * 5
        assert not queue._base.driver._beside, "it needs no task of the loop"

    listened(body)


def test_callers_that_go_on_together_stay_together(listened: Callable[..., None]) -> None:
    async def body(queue: AsyncQueue, inserts: Inserts) -> None:
        async def produce() -> None:
            for n in range(10):
                await queue.new({"n": n})

        await asyncio.gather(*(produce() for _ in range(20)))
        assert sum(inserts.sizes) == 200
        assert len(inserts.sizes) <= 12

    listened(body)


def test_each_of_them_has_an_error_of_its_own(serve: Callable[..., None], uri: str) -> None:
    async def body(queue: AsyncQueue) -> None:
        with MongoClient[Any](uri) as client:
            validator = {"tags.n": {"$ne": 3}}
            client["mongoq"].command("collMod", f"{queue.namespace}.tasks", validator=validator)
        keys = [None, None, "a", None, "a", None]
        calls = [queue.new({"n": n}, key=key) for n, key in enumerate(keys)]
        calls.append(queue.new({"n": 6}, key="a", on_conflict="skip"))
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert [n for n, one in enumerate(ended) if isinstance(one, Task)] == [0, 1, 2, 5, 6]
        assert isinstance(ended[3], StorageRefused)
        assert isinstance(ended[4], DuplicateTask)
        assert ended[6].tags == {"n": 2}  # type: ignore[union-attr]

    serve(body)


def test_a_call_in_a_transaction_or_under_a_time_limit_goes_by_itself(listened: Callable[..., None]) -> None:
    async def body(queue: AsyncQueue, inserts: Inserts) -> None:
        client = queue._base.driver.connection.database.client

        async def limited(n: int) -> None:
            with pymongo.timeout(20):
                await queue.new({"n": n})

        async with client.start_session() as session, await session.start_transaction():
            await asyncio.gather(*(limited(n) for n in range(3)), queue.new({"n": 3}, session=session))
            assert sorted(inserts.sizes) == [1] * 4
            await session.abort_transaction()

    listened(body)


def test_submit_returns_the_future_of_a_task(queue: Face) -> None:
    def submitted(*args: Any, **options: Any) -> Any:
        promise = queue.submit(*args, **options)  # awaited already, where it can be
        return promise.result(60) if queue.tempo == "blocking" else promise

    assert submitted({"n": 1}, key="a", priority=3).priority == 3
    assert queue.get("a").tags == {"n": 1}
    with pytest.raises(DuplicateTask):
        submitted(key="a")
    with pytest.raises(InvalidTask, match="priority"):
        submitted(priority=1.5)
    with pytest.raises(TypeError, match="did you mean 'priority'"):
        submitted(prioritty=1)
    queue.close()
    with pytest.raises(QueueClosed):
        submitted()


def test_futures_of_a_loop(serve: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(queue: AsyncQueue) -> None:
        futures = [queue.submit({"n": n}) for n in range(600)]
        assert all(isinstance(future, asyncio.Future) for future in futures)
        futures[300].cancel()
        ended = await asyncio.gather(*futures, return_exceptions=True)
        assert [one.tags["n"] for one in ended if isinstance(one, Task)] == [n for n in range(600) if n != 300]
        assert await queue.size() == 599

        monkeypatch.setattr(calls, "MOST_CALLS", 3)
        kept = [queue.submit() for _ in range(3)]
        with pytest.raises(QueueFull, match="await some"):
            queue.submit()
        await asyncio.gather(*kept)
        await queue.submit()

    serve(body)


def test_the_end_of_an_awaited_queue_waits_for_what_was_submitted(serve: Callable[..., None], uri: str) -> None:
    async def body(queue: AsyncQueue) -> None:
        async with AsyncQueue(uri, namespace=queue.namespace) as producer:
            futures = [producer.submit({"n": n}) for n in range(600)]
        assert all(future.done() for future in futures)
        assert await queue.size() == 600

    serve(body)
