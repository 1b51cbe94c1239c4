"""How a block of a queue is left that no generator can be told of, or whose time limit has passed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pymongo
import pytest
from pymongo import MongoClient

from mongoq import AsyncQueue, Queue, StorageUnavailable, Task, TaskState


def open_transactions(uri: str) -> list[Any]:
    with MongoClient[Any](uri) as client:
        rows = client["admin"].aggregate([{"$currentOp": {"idleSessions": True, "allUsers": True}}])
        return [row["lsid"] for row in rows if "transaction" in row]


def until(seconds: float) -> Iterator[None]:
    """Go round for so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield


@pytest.fixture
def held(make_queue: Callable[..., Queue]) -> tuple[Queue, Task]:
    queue = make_queue()
    queue.new()
    task = queue.try_claim()
    assert task is not None
    return queue, task


def test_a_block_in_a_generator_that_is_closed_aborts(held: tuple[Queue, Task], uri: str) -> None:
    queue, task = held

    def within() -> Iterator[Any]:
        with queue.transaction(task) as session:
            yield session

    generator: Any = within()
    next(generator)
    generator.close()
    assert open_transactions(uri) == []
    assert queue.get(task.key).state is TaskState.RUNNING
    queue.complete(task)


def test_a_block_that_raises_stop_iteration_aborts_and_raises_it(held: tuple[Queue, Task], uri: str) -> None:
    queue, task = held
    error = StopIteration()
    caught: BaseException | None = None
    try:
        with queue.keepalive(task), queue.transaction(task):
            raise error
    except StopIteration as raised:
        caught = raised
    assert caught is error
    assert open_transactions(uri) == []
    queue.complete(task)


def test_a_time_limit_that_has_passed_leaves_no_transaction_open(held: tuple[Queue, Task], uri: str) -> None:
    queue, task = held
    with pymongo.timeout(0.3), pytest.raises(StorageUnavailable), queue.transaction(task):
        for _ in until(20):
            queue.get(task.key)
    assert open_transactions(uri) == []
    queue.complete(task)


def test_a_time_limit_that_has_passed_on_a_loop_leaves_no_transaction_open(
    serve: Callable[..., None], uri: str
) -> None:
    async def body(queue: AsyncQueue) -> None:
        await queue.new()
        task = await queue.try_claim()
        assert task is not None
        with pymongo.timeout(0.3), pytest.raises(StorageUnavailable):
            async with queue.transaction(task):
                for _ in until(20):
                    await queue.get(task.key)
        assert await asyncio.to_thread(open_transactions, uri) == []
        await queue.complete(task)

    serve(body)
