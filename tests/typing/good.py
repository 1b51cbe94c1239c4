"""What type checkers must accept, and what they must infer, of both tempos. Nothing here is run."""

from __future__ import annotations

import asyncio
import concurrent.futures
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorClientSession, AsyncIOMotorDatabase
from pymongo import AsyncMongoClient, MongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.client_session import ClientSession

from mongoq import (
    AsyncBuffer,
    AsyncQueue,
    AsyncWorkerHandle,
    Attempt,
    Buffer,
    Exponential,
    Keepalive,
    Modified,
    NewTask,
    Queue,
    QueueStats,
    Task,
    TaskState,
    WorkerHandle,
    WorkerInfo,
)


def handle(task: Task) -> int:
    return task.attempts


def handle_attempt(attempt: Attempt, task: Task) -> None: ...


async def handle_awaited(task: Task) -> int:
    return task.attempts


def open_queues() -> None:
    Queue()
    Queue("mongodb://localhost", namespace="mail", lease=timedelta(minutes=1), backoff=Exponential(1, 60))
    Queue(MongoClient(), error_queue=True)
    Queue(MongoClient()["shop"], error_queue=lambda queue: f"{queue}/dead")
    AsyncQueue()
    AsyncQueue("mongodb://localhost", blocking="mongodb://localhost")
    AsyncQueue(AsyncMongoClient(), workers=100)
    AsyncQueue(AsyncMongoClient()["shop"], blocking=MongoClient())


def produce(queue: Queue, session: ClientSession) -> None:
    assert_type(queue.new(), Task)
    assert_type(queue.new({"user": 42}, priority=5, delay=timedelta(minutes=1), backoff=3, max_retries=None), Task)
    assert_type(queue.new({"user": 42}, run_at=datetime.now(UTC), session=session), Task)
    assert_type(queue.new_many([{"user": 42}, NewTask({"user": 43})], on_conflict="skip", session=session), list[Task])
    assert_type(queue.load({"user": n} for n in range(3)), int)
    assert_type(queue.submit({"user": 42}, unique="42"), concurrent.futures.Future[Task])
    with queue.buffer(max_delay=0.01) as buffer:
        assert_type(buffer, Buffer)
        assert_type(buffer.new({"user": 42}, unique="42"), Task)


def work(queue: Queue) -> None:
    assert_type(queue.run_once(handle, limit=3), bool)
    assert_type(queue.start(handle_attempt, queues=["a", "b"], executor="processes"), WorkerHandle)
    queue.run(handle_awaited, where={"tenant": "acme"}, burst=True)
    queue.stop()
    assert_type(Queue.new(queue, {"user": 42}), Task)


def claim(queue: Queue) -> None:
    assert_type(queue.try_claim(), Task | None)
    assert_type(queue.claim(["a", "b"], timeout=30), Task | None)
    held = queue.claim_many(100, lease=60, where={"site": "example.org"})
    assert_type(held, list[Task])
    with queue.keepalive(held) as kept:
        assert_type(kept, Keepalive)
        kept.check()
    for task in queue.claims("pages", timeout=timedelta(seconds=3)):
        assert_type(task, Task)
        assert_type(queue.move(task, "elsewhere"), int)
    queue.renew(held, 60)
    queue.complete(held[0], {"links": 12})
    queue.fail(held, ValueError("no"))
    queue.retry(held[0], "again", delay=3)
    queue.snooze(held, 3)
    queue.release(held)


def change(queue: Queue, task: Task, session: ClientSession) -> None:
    assert_type(queue.modify(change=[task.as_change(priority=3)], delete=[task.ref], session=session), Modified)
    with queue.transaction(task) as own:
        assert_type(own, ClientSession)


def look(queue: Queue, task: Task) -> None:
    assert_type(queue.get("key"), Task)
    assert_type(queue.tasks(state=TaskState.FAILED, limit=None), list[Task])
    for one in queue.scan(state="failed", after="key"):
        assert_type(one, Task)
    assert_type(queue.count(state="failed"), int)
    assert_type(queue.size(), int)
    assert_type(queue.empty(prefix="mail"), bool)
    assert_type(queue.stats(), dict[str, QueueStats])
    assert_type(queue.queues(), dict[str, int])
    assert_type(queue.workers(), list[WorkerInfo])
    assert_type(queue.wait(task, timeout=3), Task | None)
    assert_type(queue.join("pages", timeout=3), bool)
    assert_type(queue.time(), datetime)
    assert_type(queue.namespace, str)


def operate(queue: Queue) -> None:
    assert_type(queue.cancel("key"), Task)
    assert_type(queue.cancel_all(queue="pages"), int)
    assert_type(queue.delete("key"), int)
    assert_type(queue.delete_all(where={"site": "example.org"}), int)
    assert_type(queue.move_all("elsewhere", queue="pages"), int)
    assert_type(queue.purge(older_than=timedelta(days=7)), int)
    assert_type(queue.update("key", priority=9), Task)
    assert_type(queue.new(NewTask()), Task)
    assert_type(queue.get("key").again(priority=1), NewTask)
    assert_type(queue.get("key").to_dict(), dict[str, Any])
    assert_type(queue.rerun("key"), Task)
    assert_type(queue.rerun_all(queue="pages"), int)
    assert_type(queue.redrive("pages/err"), int)
    assert_type(queue.init(), list[str])


def close(queue: Queue) -> None:
    with queue as same:
        assert_type(same, Queue)
    queue.close()


async def produce_awaited(queue: AsyncQueue, session: AsyncClientSession) -> None:
    assert_type(await queue.new(), Task)
    assert_type(await queue.new({"user": 42}, priority=5, delay=timedelta(minutes=1), backoff=3), Task)
    assert_type(await queue.new({"user": 42}, run_at=datetime.now(UTC), session=session), Task)
    assert_type(await queue.new_many([{"user": 42}, NewTask({"user": 43})], session=session), list[Task])
    assert_type(await queue.load({"user": n} for n in range(3)), int)
    assert_type(queue.submit({"user": 42}, unique="42"), asyncio.Future[Task])
    assert_type(await queue.submit(), Task)
    async with queue.buffer(max_delay=0.01) as buffer:
        assert_type(buffer, AsyncBuffer)
        assert_type(await buffer.new({"user": 42}, unique="42"), Task)


async def work_awaited(queue: AsyncQueue) -> None:
    assert_type(await queue.run_once(handle, limit=3), bool)
    assert_type(await queue.start(handle_attempt, queues=["a", "b"], executor="processes"), AsyncWorkerHandle)
    await queue.run(handle_awaited, where={"tenant": "acme"}, burst=True)
    queue.stop()
    assert_type(await AsyncQueue.new(queue, {"user": 42}), Task)


async def claim_awaited(queue: AsyncQueue) -> None:
    assert_type(await queue.try_claim(), Task | None)
    assert_type(await queue.claim(["a", "b"], timeout=30), Task | None)
    held = await queue.claim_many(100, lease=60, where={"site": "example.org"})
    assert_type(held, list[Task])
    async with queue.keepalive(held) as kept:
        assert_type(kept, Keepalive)
        kept.check()
    async for task in queue.claims("pages", timeout=timedelta(seconds=3)):
        assert_type(task, Task)
        assert_type(await queue.move(task, "elsewhere"), int)
    await queue.renew(held, 60)
    await queue.complete(held[0], {"links": 12})
    await queue.fail(held, ValueError("no"))
    await queue.retry(held[0], "again", delay=3)
    await queue.snooze(held, 3)
    await queue.release(held)


async def change_awaited(queue: AsyncQueue, task: Task, session: AsyncClientSession) -> None:
    assert_type(await queue.modify(change=[task.as_change(priority=3)], delete=[task.ref], session=session), Modified)
    async with queue.transaction(task) as own:
        assert_type(own, AsyncClientSession)


async def look_awaited(queue: AsyncQueue, task: Task) -> None:
    assert_type(await queue.get("key"), Task)
    assert_type(await queue.tasks(state=TaskState.FAILED, limit=None), list[Task])
    async for one in queue.scan(state="failed", after="key"):
        assert_type(one, Task)
    assert_type(await queue.count(state="failed"), int)
    assert_type(await queue.size(), int)
    assert_type(await queue.empty(prefix="mail"), bool)
    assert_type(await queue.stats(), dict[str, QueueStats])
    assert_type(await queue.queues(), dict[str, int])
    assert_type(await queue.workers(), list[WorkerInfo])
    assert_type(await queue.wait(task, timeout=3), Task | None)
    assert_type(await queue.join("pages", timeout=3), bool)
    assert_type(await queue.time(), datetime)
    assert_type(queue.namespace, str)


async def operate_awaited(queue: AsyncQueue) -> None:
    assert_type(await queue.cancel("key"), Task)
    assert_type(await queue.cancel_all(queue="pages"), int)
    assert_type(await queue.delete("key"), int)
    assert_type(await queue.delete_all(where={"site": "example.org"}), int)
    assert_type(await queue.move_all("elsewhere", queue="pages"), int)
    assert_type(await queue.purge(older_than=timedelta(days=7)), int)
    assert_type(await queue.update("key", priority=9), Task)
    assert_type(await queue.rerun("key"), Task)
    assert_type(await queue.rerun_all(queue="pages"), int)
    assert_type(await queue.redrive("pages/err"), int)
    assert_type(await queue.init(), list[str])


async def use_motor(
    client: AsyncIOMotorClient[dict[str, object]],
    database: AsyncIOMotorDatabase[dict[str, object]],
    session: AsyncIOMotorClientSession,
) -> None:
    AsyncQueue(database)
    assert_type(await AsyncQueue(client).new({"user": 42}, session=session), Task)


async def close_awaited(queue: AsyncQueue) -> None:
    async with queue as same:
        assert_type(same, AsyncQueue)
    await queue.close()
