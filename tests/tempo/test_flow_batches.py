"""Batches, which call back when their members have ended."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from pymongo import MongoClient

from mongoq import BatchFinished, BatchNotFound, NewTask, Queue
from proving.tempos import Face
from tests.tempo.flows import CALLBACK, end, opened, state

OTHERWISE = NewTask({"otherwise": True})


def test_a_batch_calls_back_once_with_its_counts(queue: Face) -> None:
    with opened(queue, then=CALLBACK) as batch:
        batch.new({"n": 0})
        batch.new_many([{"n": n} for n in range(1, 4)])
        end(queue)
        assert not queue.get_batch(batch).finished, "it is open"
    for _ in range(3):
        assert queue.get(batch.key).state == "parked"
        end(queue)
    callback = queue.claim()
    assert callback.key == batch.key
    assert callback.tags == {"callback": True}
    assert callback.payload == {"batch": batch.key, "completed": 4, "failed": 0, "cancelled": 0, "expired": 0}
    known = queue.get_batch(batch)
    assert "FixedOffset" not in repr(known), "the zone of a class of the driver"
    assert (known.finished, known.open, known.total, known.completed) == (True, False, 4, 4)
    with pytest.raises(BatchFinished):
        queue.new(batch=batch)


def test_a_batch_with_a_failure_calls_back_otherwise(queue: Face) -> None:
    with opened(queue, then=CALLBACK, on_failure=OTHERWISE) as batch:
        batch.new({"n": 0}, max_retries=0)
        batch.new({"n": 1}, key="gone")
    queue.cancel("gone")
    end(queue, fail=True)
    callback = queue.claim()
    assert callback.tags == {"otherwise": True}
    assert (callback.payload["failed"], callback.payload["cancelled"]) == (1, 1)


def test_a_batch_without_members_calls_back_when_it_is_closed(queue: Face) -> None:
    with opened(queue, then=CALLBACK) as batch:
        pass
    assert end(queue) == batch.key


def test_a_batch_without_a_callback_for_its_end_completes(queue: Face) -> None:
    with opened(queue, on_failure=OTHERWISE, key="whole") as batch:
        batch.new()
    end(queue)
    assert state(queue, "whole") == "completed"
    assert queue.get_batch(batch).callback is None


def test_members_add_members(queue: Face) -> None:
    with opened(queue, then=CALLBACK) as batch:
        batch.new(key="first")
    member = queue.claim()
    assert member.batch == batch.key
    queue.new(key="second", batch=member.batch)
    queue.complete(member)
    assert end(queue) == "second"
    assert end(queue) == batch.key


def test_a_batch_waits_for_the_callback_of_one_inside_it(queue: Face) -> None:
    with opened(queue, then=CALLBACK) as outer, opened(queue, then=OTHERWISE, batch=outer) as inner:
        inner.new(key="member")
    assert end(queue) == "member"
    assert state(queue, outer.key) == "parked"
    assert end(queue) == inner.key
    assert end(queue) == outer.key


def test_a_block_that_raises_leaves_its_batch_open(queue: Face) -> None:
    with pytest.raises(ZeroDivisionError), opened(queue, then=CALLBACK, key="half") as batch:
        batch.new()
        raise ZeroDivisionError
    end(queue)
    assert queue.get_batch("half").open
    queue.close_batch("half")
    assert end(queue) == "half"
    with pytest.raises(BatchNotFound):
        queue.close_batch("none")
    with pytest.raises(BatchNotFound):
        queue.new(batch="none")


def test_children_wait_for_a_batch(queue: Face) -> None:
    with opened(queue, then=CALLBACK) as batch:
        batch.new()
    queue.new(key="c", after=[batch])
    end(queue)
    assert state(queue, "c") == "parked"
    end(queue)
    assert state(queue, "c") == "ready"


def test_members_are_kept_until_the_callback_counts_them(queue: Face) -> None:
    with opened(queue, then=CALLBACK) as batch:
        batch.new_many([{"n": n} for n in range(3)], keep_completed=0)
    for _ in range(3):
        end(queue)
    assert queue.claim().payload["completed"] == 3


def test_a_batch_of_a_transaction_is_there_with_its_commit_or_never(uri: str) -> None:
    with (
        MongoClient[dict[str, Any]](uri) as client,
        Queue(client, namespace=f"t-{secrets.token_hex(4)}", grace=0) as queue,
        client.start_session() as session,
    ):
        for end_it in (session.abort_transaction, session.commit_transaction):
            session.start_transaction()
            with queue.batch(then=CALLBACK, session=session, key="batch") as batch:
                batch.new(key="member")
                batch.new_many([{"n": 1}])
                queue.new(key="child", after=["member"], session=session)
            assert queue.count() == 0
            end_it()
        assert queue.count(state="parked") == 2
        queue.run(lambda task: None, burst=True)
        assert queue.count(state="completed") == 4
        assert queue.get_batch("batch").completed == 2
