"""What the driver over mongomock adds: unique values, transactions with undo, one lock; and what it refuses."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import mongomock
import pytest

from mongoq import (
    AsyncQueue,
    ConfigurationError,
    DependencyError,
    DuplicateTask,
    NewTask,
    Queue,
    StorageRefused,
    Task,
    TaskState,
    Unsupported,
)
from mongoq.core.clock import FrozenClock
from mongoq.storage.commands import Bulk, Changing, Delete, Find, InsertMany, Op, Removing, UpdateMany
from mongoq.storage.control import Transact
from mongoq.storage.drivers.mongomock.driver import MemoryDriver
from mongoq.storage.refusals import KeyTaken, PartlyWritten
from mongoq.testing import ServerClock, memory_async_queue, memory_queue, run_due


@pytest.fixture
def driver() -> MemoryDriver:
    return MemoryDriver(mongomock.MongoClient(), FrozenClock())


def all_of(driver: MemoryDriver) -> list[dict[str, Any]]:
    def op() -> Op[Any]:
        return (yield Find("c", {}, sort=[("_id", 1)]))

    found: list[dict[str, Any]] = driver.run(op())
    return found


def test_a_client_or_its_database_is_accepted_and_nothing_else_of_mongomock() -> None:
    client: Any = mongomock.MongoClient()
    clock = FrozenClock()
    with (
        Queue(client, namespace="a", clock=clock) as queue,
        Queue(client["mongoq"], namespace="a", clock=clock) as same,
    ):
        task = queue.new()
        assert same.get(task.key) == queue.get(task.key)
        assert repr(queue) == "<Queue 'a' at mongomock>"
    with pytest.raises(ConfigurationError, match="or its Database"):
        Queue(client["mongoq"]["tasks"])


def test_a_transaction_that_fails_leaves_everything_as_it_was(driver: MemoryDriver) -> None:
    before = [{"_id": key, "n": n, "tags": {"a": n}} for n, key in enumerate("abc")]

    def fill() -> Op[Any]:
        yield InsertMany("c", before)

    def body() -> Op[Any]:
        yield InsertMany("c", [{"_id": "d"}])
        yield UpdateMany("c", {"n": {"$gte": 1}}, {"$set": {"tags.a": "new"}, "$inc": {"n": 5}})
        yield Bulk("c", [Changing({"_id": "a"}, [{"$set": {"n": {"$add": ["$n", 1]}}}]), Removing({"_id": "b"})])
        yield Delete("c", {"n": {"$gte": 2}})
        raise StorageRefused("in the end")

    def whole() -> Op[Any]:
        yield Transact(body)

    driver.run(fill())
    with pytest.raises(StorageRefused, match="in the end"):
        driver.run(whole())
    assert all_of(driver) == before
    driver.run(fill_another())
    assert len(all_of(driver)) == 4, "the lock is free again"


def fill_another() -> Op[Any]:
    yield InsertMany("c", [{"_id": "z"}])


def test_the_refused_of_a_batch_are_told_by_place_and_an_ordered_one_stops_there(driver: MemoryDriver) -> None:
    def insert(*keys: str, ordered: bool) -> Op[Any]:
        yield InsertMany("c", [{"_id": key} for key in keys], ordered)

    with pytest.raises(PartlyWritten) as ordered:
        driver.run(insert("a", "a", "b", ordered=True))
    assert list(ordered.value.errors) == [1]
    with pytest.raises(PartlyWritten) as unordered:
        driver.run(insert("a", "c", "a", "d", ordered=False))
    assert {place: isinstance(error, KeyTaken) for place, error in unordered.value.errors.items()} == {0: True, 2: True}
    assert [document["_id"] for document in all_of(driver)] == ["a", "c", "d"]


def test_an_update_that_does_not_fit_changes_nothing_and_is_told_as_a_server_tells_it(driver: MemoryDriver) -> None:
    def update() -> Op[Any]:
        yield InsertMany("c", [{"_id": "a", "n": 1}, {"_id": "b", "n": "one"}])
        yield UpdateMany("c", {}, {"$inc": {"n": 1}})

    with pytest.raises(StorageRefused) as caught:
        driver.run(update())
    assert caught.value.code == 14
    assert [document["n"] for document in all_of(driver)] == [1, "one"]


def test_a_finished_task_whose_unique_value_is_taken_does_not_run_again(mongoq_queue: Queue) -> None:
    failed = mongoq_queue.new(unique="order-17", max_retries=0)

    def fails(task: Task) -> None:
        raise ValueError

    run_due(mongoq_queue, fails)
    holder = mongoq_queue.new(unique="order-17")
    with pytest.raises(DuplicateTask, match="order-17"):
        mongoq_queue.rerun(failed.key)
    assert mongoq_queue.get(failed.key).state is TaskState.FAILED
    mongoq_queue.cancel(holder.key)
    again = mongoq_queue.rerun(failed.key)
    assert (again.state, again.charged, again.unique) == (TaskState.READY, 0, "order-17")


def test_an_expiry_that_has_passed_is_taken_away_by_a_rerun(mongoq_queue: Queue, mongoq_clock: FrozenClock) -> None:
    task = mongoq_queue.new(expires_at=mongoq_clock.now() + timedelta(seconds=5))
    mongoq_clock.advance(6)
    assert run_due(mongoq_queue, lambda task: None) == []
    assert mongoq_queue.get(task.key).state is TaskState.EXPIRED
    assert mongoq_queue.rerun(task.key).expires_at is None


def test_values_come_back_as_from_a_server(mongoq_queue: Queue) -> None:
    number = uuid.UUID(int=7)
    east = datetime(2030, 1, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    task = mongoq_queue.new({"id": number, "at": east, "pair": (1, 2)}, payload=b"\x00")
    read = mongoq_queue.get(task.key)
    assert read.tags == {"id": number, "at": datetime(2030, 1, 1, 10, 0, 0, 123000, tzinfo=UTC), "pair": [1, 2]}
    assert read.payload == b"\x00"
    assert [one.key for one in mongoq_queue.tasks(where={"id": number, "at": east})] == [task.key]


def test_a_modification_is_made_as_a_whole_or_not_at_all(mongoq_queue: Queue) -> None:
    one, two = mongoq_queue.new({"n": 1}), mongoq_queue.new({"n": 2})
    done = mongoq_queue.modify(insert=[NewTask({"n": 3})], change=[one.as_change(priority=5)], delete=[two])
    assert (len(done.inserted), done.changed[0].priority) == (1, 5)
    with pytest.raises(DependencyError):
        mongoq_queue.modify(insert=[NewTask({"n": 4})], delete=[one])
    assert sorted(task.tags["n"] for task in mongoq_queue.tasks()) == [1, 3]


def test_each_task_goes_to_one_of_many_threads(mongoq_queue: Queue) -> None:
    mongoq_queue.new_many([{"n": n} for n in range(60)])
    taken: list[str] = []
    begin = threading.Barrier(6)

    def claim() -> None:
        begin.wait(10)
        while task := mongoq_queue.try_claim():
            taken.append(task.key)
            mongoq_queue.complete(task)

    threads = [threading.Thread(target=claim) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(taken) == len(set(taken)) == 60


@pytest.mark.parametrize("executor", ["threads", "asyncio"])
def test_a_worker_and_who_waits_do_without_a_change_stream(executor: str) -> None:
    def plain(task: Task) -> int:
        return int(task.tags["n"]) * 2

    async def coroutine(task: Task) -> int:
        return int(task.tags["n"]) * 2

    with memory_queue(clock=ServerClock()) as queue:
        handle = queue.start(plain if executor == "threads" else coroutine)
        done = queue.wait(queue.new({"n": 21}), timeout=20)
        assert done is not None
        assert done.result == 42
        handle.stop()


def test_an_async_queue_runs_and_waits_over_the_same_memory() -> None:
    async def handler(task: Task) -> str:
        return "done"

    async def test(queue: AsyncQueue) -> None:
        task = await queue.new()
        waiting = asyncio.create_task(queue.wait(task, timeout=60))
        await queue.run(handler, burst=True)
        done = await waiting
        assert done is not None
        assert done.result == "done"
        await queue.new()
        async for claimed in queue.claims(timeout=0):
            assert claimed.state is TaskState.RUNNING
        assert await queue.empty()
        await queue.modify(insert=[NewTask()])
        assert await queue.size() == 1
        await queue.close()

    asyncio.run(test(memory_async_queue(clock=ServerClock())))


def test_sessions_and_transactions_of_the_caller_are_refused_in_both_tempos() -> None:
    session: Any = object()

    async def awaited(queue: AsyncQueue) -> None:
        with pytest.raises(Unsupported, match="mongoq_server"):
            await queue.new(session=session)
        await queue.new()
        task = await queue.try_claim()
        assert task is not None
        with pytest.raises(Unsupported, match="mongoq_server"):
            async with queue.transaction(task):
                pytest.fail("the block is not entered")

    asyncio.run(awaited(memory_async_queue()))
    with memory_queue() as queue:
        refused: list[Callable[[], object]] = [
            lambda: queue.new(session=session),
            lambda: queue.modify(insert=[NewTask()], session=session),
        ]
        for call in refused:
            with pytest.raises(Unsupported, match="mongoq_server"):
                call()


def test_the_server_s_clock_is_that_of_the_queue(mongoq_queue: Queue, mongoq_clock: FrozenClock) -> None:
    mongoq_clock.advance(3)
    assert mongoq_queue.time() == mongoq_clock.now()
    assert mongoq_queue.standalone()
    with memory_queue(clock=ServerClock()) as queue:
        assert abs(queue.time() - datetime.now(UTC)) < timedelta(seconds=5)
