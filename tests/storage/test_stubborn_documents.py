"""Documents that take no write, by a validator or a unique index of the user's own: the others go on."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from mongoq import Queue, StorageRefused, TaskState


@pytest.fixture
def collection(queue: Queue, collection: Any) -> Any:
    queue.init()
    return collection


def by_validator(collection: Any, stubborn: list[str]) -> None:
    collection.database.command("collMod", collection.name, validator={"_id": {"$nin": stubborn}})


def by_index(collection: Any, stubborn: list[str]) -> None:
    """Nobody may be the worker of more than one task: one of those named is, so the others cannot be claimed."""
    collection.insert_one({"_id": "holder", "state": "done", "attempts": 1, "kind": "stubborn"})
    collection.update_many({"_id": {"$in": stubborn}}, {"$set": {"kind": "stubborn"}})
    for key in stubborn:
        collection.update_one({"_id": key}, {"$set": {"attempts": 0, "kind": f"stubborn-{key}"}})
        collection.insert_one({"_id": f"holder-{key}", "state": "done", "attempts": 1, "kind": f"stubborn-{key}"})
    partial = {"kind": {"$exists": True}}
    collection.create_index([("attempts", 1), ("kind", 1)], unique=True, partialFilterExpression=partial)


@pytest.mark.parametrize("keep", [by_validator, by_index])
@pytest.mark.parametrize("count", [1, 3])
def test_the_others_run_and_it_is_named(
    queue: Queue, collection: Any, keep: Any, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    stubborn = [queue.new(priority=9).key for _ in range(count)]
    keep(collection, stubborn)
    good = {queue.new().key for _ in range(10)}
    done: list[str] = []
    caplog.set_level(logging.WARNING, "mongoq.worker")
    handle = queue.start(lambda task: done.append(task.key), workers=2)
    for key in good:
        assert (ended := queue.wait(key, timeout=60))
        assert ended.state is TaskState.COMPLETED
    handle.stop()
    assert set(done) == good
    assert any(key in message for key in stubborn for message in caplog.messages)
    assert {queue.get(key).state for key in stubborn} == {TaskState.READY}


@pytest.mark.parametrize("how", ["once", "burst", "finish"])
@pytest.mark.parametrize("keep", [by_validator, by_index])
def test_a_worker_that_ends_by_itself_does_not_wait_for_it(
    queue: Queue, collection: Any, keep: Any, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    stubborn = queue.new(priority=9).key
    keep(collection, [stubborn])
    good = {queue.new().key for _ in range(3)}
    done: list[str] = []
    caplog.set_level(logging.WARNING, "mongoq.worker")
    handler = lambda task: done.append(task.key)  # noqa: E731
    if how == "once":
        assert not queue.run_once(handler), "`while queue.run_once(...)` would never end"
    elif how == "burst":
        queue.run(handler, burst=True)
    else:
        assert queue.start(handler).finish(30)
    assert set(done) == good
    assert sum(stubborn in message for message in caplog.messages) == 1


@pytest.mark.parametrize("keep", [by_validator, by_index])
def test_a_claim_by_hand_passes_it_and_says_why_where_there_is_no_other(
    queue: Queue, collection: Any, keep: Any
) -> None:
    key = queue.new(priority=9).key
    keep(collection, [key])
    good = [queue.new().key for _ in range(3)]
    first = queue.try_claim()
    assert first is not None
    assert [first.key, *(task.key for task in queue.claim_many(5))] == good
    with pytest.raises(StorageRefused, match=key):
        queue.try_claim()


def test_it_runs_once_the_validator_is_put_right(queue: Queue, collection: Any) -> None:
    key = queue.new().key
    by_validator(collection, [key])
    with pytest.raises(StorageRefused, match="validator"):
        queue.try_claim()
    by_validator(collection, [])
    task = queue.try_claim()
    assert task is not None
    assert task.key == key


def test_a_sweep_passes_it(queue: Queue, collection: Any) -> None:
    stubborn, good = (queue.new(delay=0.01).key for _ in range(2))
    by_validator(collection, [stubborn])
    while (task := queue.try_claim()) is None:
        continue
    assert task.key == good
