from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from mongoq.core.errors import DuplicateTask, InvalidTask
from mongoq.core.judging.backoff import Exponential
from mongoq.core.judging.verdict import Returned
from mongoq.core.lifecycle import TaskState
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.task import Task
from mongoq.storage.documents import filters
from mongoq.storage.operations import enqueue


def test_a_task_reads_back_as_it_was_made(store: Any) -> None:
    made = store.new(tags={"user": 42, "deep": {"list": [1, "two", None]}}, payload=b"\0\1", priority=-7)

    assert store.get(made.key) == made
    assert made.tags["deep"] == {"list": [1, "two", None]}
    assert made.payload == b"\0\1"


def test_only_what_says_something_is_stored(store: Any) -> None:
    document = store.document(store.new(tags={"a": 1}).key)

    assert sorted(document) == sorted(
        ["_id", "queue", "state", "priority", "run_at", "tags", "created_at", "modified_at", "version"]
    )


def test_a_delayed_task_is_scheduled_and_one_of_the_past_is_ready(store: Any) -> None:
    now = store.clock.now()
    delayed = store.new(delay=60)
    past = store.new(run_at=now - timedelta(days=1))

    assert (delayed.state, delayed.run_at) == (TaskState.SCHEDULED, now + timedelta(seconds=60))
    assert (past.state, past.run_at) == (TaskState.READY, now - timedelta(days=1))


def test_a_key_is_taken_as_long_as_its_task_is_kept(store: Any) -> None:
    store.new(key="order-17")
    store.end(store.claim()[0], Returned())

    with pytest.raises(DuplicateTask, match="order-17") as caught:
        store.new(key="order-17")
    assert caught.value.key == "order-17"


def test_skip_returns_the_task_that_is_there(store: Any) -> None:
    first = store.new(key="order-17", tags={"n": 1})
    again: Task = store.run(enqueue.new(store.context, NewTask(key="order-17", tags={"n": 2}, on_conflict="skip")))

    assert again == first
    assert store.collection.count_documents({}) == 1


def test_a_unique_value_is_free_again_when_its_task_has_ended(store: Any) -> None:
    store.new(unique="order-17")
    with pytest.raises(DuplicateTask, match="unique"):
        store.new(unique="order-17")
    store.end(store.claim()[0], Returned())

    assert store.new(unique="order-17").unique == "order-17"


def test_the_holders_of_unique_values_are_found_by_the_index(store: Any) -> None:
    for number in range(50):
        store.new(unique=f"order-{number}")

    for values in (["order-7"], ["order-7", "order-8"]):
        stats = store.collection.find(filters.by_unique(values)).explain()["executionStats"]
        assert (stats["nReturned"], stats["totalDocsExamined"]) == (len(values), len(values))


def test_max_age_of_the_queue_is_the_expiry_of_its_tasks(make_store: Callable[..., Any]) -> None:
    store = make_store(max_age=60)
    now = store.clock.now()

    assert store.new().expires_at == now + timedelta(seconds=60)
    assert store.new(expires_at=now + timedelta(days=1)).expires_at == now + timedelta(days=1)


def test_the_policy_travels_with_the_task(make_store: Callable[..., Any]) -> None:
    store = make_store(max_retries=3, keep_completed=7)
    task = store.get(store.new(max_retries=None, backoff=Exponential(1, jitter=False), deadline=5).key)

    assert task.policy == {
        "max_retries": None,
        "keep_completed": timedelta(seconds=7),
        "backoff": Exponential(1, jitter=False),
        "deadline": timedelta(seconds=5),
    }


def test_a_task_beyond_the_size_is_refused_and_nothing_is_stored(make_store: Callable[..., Any]) -> None:
    store = make_store(max_task_bytes=2048)

    with pytest.raises(InvalidTask, match=r"at most 2,048 bytes"):
        store.new(payload="x" * 2048)
    assert store.collection.count_documents({}) == 0
