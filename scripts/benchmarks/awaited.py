"""`async`: many coroutines on one loop through one AsyncQueue: they enqueue, or wait for tasks that a worker runs.

`async.new`: the limit is `insert_one` of the same documents, encoded beforehand, by as many coroutines through the same
AsyncMongoClient, at majority; both take turns. `async.gather`: the same calls of `new`; the limit is `new` of one
thread of a blocking queue, one after the other. `async.wait`: the longest time for which the loop did not come round
while every task that is waited for completes in another process; the limit is that of a loop which does nothing else.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient, ReadPreference, WriteConcern

from benchmarks import filling
from benchmarks.fleet import Fleet
from benchmarks.overhead import overhead
from benchmarks.report import Row
from benchmarks.setting import Place, Setting
from benchmarks.worker import Spec
from mongoq import AsyncQueue

COROUTINES: Final = 100
TURN: Final = 1_000
WAITERS: Final = 1_000
BEAT: Final = 0.001
PATIENCE: Final = 60.0
SETTLE: Final = 1.0
"""Seconds after the last one has begun to wait: its last look, and the opening of the stream."""


def awaited(setting: Setting) -> list[Row]:
    """Measure them all."""
    produced = [asyncio.run(_new(setting, setting.count(5_000))) for _ in range(setting.rounds())]
    alone = [_alone(setting, max(1, setting.count(5_000) // 10)) for _ in range(setting.rounds())]
    waited = [_wait(setting, setting.count(WAITERS)) for _ in range(setting.rounds())]
    ours, bare = zip(*produced, strict=True)
    stalls, idle, threads = zip(*waited, strict=True)
    return [
        Row("async.new", "tasks/s", ours, bare),
        Row("async.gather", "tasks/s", ours, alone),
        Row("async.wait", "ms", stalls, idle),
        Row("async.wait.threads", "threads", threads),
        *overhead(setting),
    ]


async def _new(setting: Setting, count: int) -> tuple[float, float]:
    """Tasks/s of `new`, and of insert_one beside it."""
    with setting.place() as place:
        made = filling.documents(place.tasks, place.queue, count)
        bodies = [RawBSONDocument(bson.encode(document)) for document in made]
        async with AsyncMongoClient[Any](setting.uri) as client, _beside(client, place) as queue:
            collection = client.get_default_database("mongoq").get_collection(
                place.tasks.name, write_concern=WriteConcern(w="majority"), read_preference=ReadPreference.PRIMARY
            )
            await _by_all(queue.new, filling.tags(COROUTINES))  # connects them all
            took = [0.0, 0.0]
            tags = filling.tags(count)
            for start in range(0, count, TURN):
                took[0] += await _by_all(queue.new, tags[start : start + TURN])
                took[1] += await _by_all(collection.insert_one, bodies[start : start + TURN])
    return count / took[0], count / took[1]


def _alone(setting: Setting, count: int) -> float:
    """Tasks/s of `new` in one thread."""
    with setting.place() as place:
        began = time.perf_counter()
        for tags in filling.tags(count):
            place.queue.new(tags)
        return count / (time.perf_counter() - began)


@asynccontextmanager
async def _beside(client: AsyncMongoClient[Any], place: Place) -> AsyncIterator[AsyncQueue]:
    """A queue over the client in a namespace that is there."""
    async with AsyncQueue(client, namespace=place.queue.namespace) as queue:
        yield queue


async def _by_all(call: Callable[[Any], Awaitable[Any]], things: list[Any]) -> float:
    """Seconds that it takes a hundred coroutines to call with all things."""
    left = iter(things)

    async def go_on() -> None:
        for thing in left:
            await call(thing)

    began = time.perf_counter()
    await asyncio.gather(*(go_on() for _ in range(COROUTINES)))
    return time.perf_counter() - began


def _wait(setting: Setting, count: int) -> tuple[float, float, float]:
    """The longest stall in ms with so many who wait and with none, and how many threads the waiting took."""
    with setting.place() as place:
        stalls = [asyncio.run(_watched(setting, place, count, waiting=waiting)) for waiting in (True, False)]
    (stall, threads), (idle, _) = stalls
    return stall, idle, threads


async def _watched(setting: Setting, place: Place, count: int, *, waiting: bool) -> tuple[float, float]:
    tasks = place.queue.new_many(filling.tags(count), keep_completed=600)
    fleet = Fleet(setting.uri, [Spec(place.queue.namespace)])
    await asyncio.to_thread(fleet.__enter__)
    try:
        async with AsyncQueue(setting.uri, namespace=place.queue.namespace) as queue:
            before = threading.active_count()
            waits = [asyncio.create_task(queue.wait(task, timeout=PATIENCE)) for task in tasks if waiting]
            await _settled(queue, len(waits))
            heart = Heart()
            beating = asyncio.create_task(heart.beat())
            fleet.go()
            ended = await asyncio.gather(*waits)
            await queue.join(timeout=PATIENCE)
            beating.cancel()
            threads = threading.active_count() - before
    finally:
        await asyncio.to_thread(fleet.close)
    if not all(ended):
        raise AssertionError("some were not seen to end")
    return heart.longest * 1_000, threads


async def _settled(queue: AsyncQueue, count: int) -> None:
    """Return once so many wait; what they take for that is not measured."""
    inside = queue._base  # noqa: SLF001 -- nothing else tells who waits
    deadline = time.monotonic() + PATIENCE
    while count and not (inside._hand and len(inside._hand._results._waiting) == count):  # noqa: SLF001 -- as above
        if time.monotonic() > deadline:
            raise AssertionError("not all of them came to wait")
        await asyncio.sleep(0.05)
    await asyncio.sleep(SETTLE)


class Heart:
    """Beats on a loop, and knows the longest time between two beats."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def beat(self) -> None:
        """Beat until cancelled."""
        while True:
            before = time.perf_counter()
            await asyncio.sleep(BEAT)
            self.longest = max(self.longest, time.perf_counter() - before - BEAT)
