"""What is enqueued and changed in a transaction of the caller."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from mongoq import (
    ConfigurationError,
    DependencyError,
    DuplicateTask,
    NewTask,
    Queue,
    StorageUnavailable,
    TaskNotFound,
    TaskRef,
    TaskState,
)
from mongoq.embedded.server import EmbeddedServer

ENQUEUE: dict[str, Callable[[Queue, ClientSession], object]] = {
    "new": lambda queue, session: queue.new({"n": 1}, key="a", session=session),
    "new_many": lambda queue, session: queue.new_many([NewTask(key="a"), {"n": 2}], session=session),
    "modify": lambda queue, session: queue.modify(insert=[NewTask(key="a")], session=session),
}

Client = MongoClient[dict[str, Any]]


@pytest.mark.parametrize("verb", ENQUEUE)
def test_what_is_enqueued_in_a_transaction_is_seen_when_it_commits(queue: Queue, client: Client, verb: str) -> None:
    with client.start_session() as session:
        with session.start_transaction():
            ENQUEUE[verb](queue, session)
            assert (queue.size(), queue.try_claim()) == (0, None)
            with pytest.raises(TaskNotFound):
                queue.get("a")
        assert queue.get("a").state is TaskState.READY


@pytest.mark.parametrize("verb", ENQUEUE)
def test_what_is_enqueued_in_a_transaction_is_gone_when_it_aborts(
    queue: Queue, client: Client, orders: Any, verb: str
) -> None:
    with client.start_session() as session, suppress(ZeroDivisionError), session.start_transaction():
        orders.insert_one({"_id": 1}, session=session)
        ENQUEUE[verb](queue, session)
        raise ZeroDivisionError
    assert (queue.size(), orders.count_documents({})) == (0, 0)


def test_a_bound_session_is_joined_with_nothing_to_pass(queue: Queue, client: Client, orders: Any) -> None:
    with client.start_session() as session:
        if not hasattr(session, "bind"):
            pytest.skip("this PyMongo cannot bind a session")
        with session.bind(end_session=False), suppress(ZeroDivisionError), session.start_transaction():
            orders.insert_one({"_id": 1})
            queue.new(key="a")
            raise ZeroDivisionError
        assert (queue.size(), orders.count_documents({})) == (0, 0)
        with session.bind(end_session=False), session.start_transaction():
            queue.new(key="a")
            assert queue.size() == 0, "looking does not join"
        assert queue.get("a").key == "a"


def test_claims_and_endings_do_not_join_a_bound_session(queue: Queue, client: Client) -> None:
    queue.new(key="a")
    with client.start_session() as session:
        if not hasattr(session, "bind"):
            pytest.skip("this PyMongo cannot bind a session")
        with session.bind(end_session=False), suppress(ZeroDivisionError), session.start_transaction():
            task = queue.try_claim()
            assert task is not None
            queue.complete(task)
            raise ZeroDivisionError
    assert queue.get("a").state is TaskState.COMPLETED


def test_waiting_for_a_task_leaves_a_bound_transaction_alone(queue: Queue, client: Client, orders: Any) -> None:
    task = queue.new()
    with client.start_session() as session:
        if not hasattr(session, "bind"):
            pytest.skip("this PyMongo cannot bind a session")
        with session.bind(end_session=False), session.start_transaction():
            orders.insert_one({"_id": 1})
            assert queue.wait(task, timeout=0.2) is None
            assert queue.claim("empty", timeout=0.2) is None
    assert orders.count_documents({}) == 1


def test_a_session_bound_to_another_client_does_not_stop_the_queue(server: EmbeddedServer, client: Client) -> None:
    with Queue(server.uri, namespace=f"t-{secrets.token_hex(4)}") as queue, client.start_session() as session:
        if not hasattr(session, "bind"):
            pytest.skip("this PyMongo cannot bind a session")
        with session.bind(), session.start_transaction():
            assert queue.get(queue.new().key).state is TaskState.READY


def test_the_first_use_of_a_namespace_may_be_in_a_transaction(client: Client) -> None:
    with Queue(client, namespace=f"t-{secrets.token_hex(4)}") as queue, client.start_session() as session:
        session.with_transaction(lambda own: queue.new(key="a", session=own))
        assert queue.init() == [], "its indexes were made outside the transaction"
        assert queue.get("a").key == "a"


def test_a_key_taken_before_a_transaction_is_told_without_spoiling_it(queue: Queue, client: Client) -> None:
    queue.new({"n": 1}, key="a", unique="u")
    with client.start_session() as session, session.start_transaction():
        assert queue.new(key="a", on_conflict="skip", session=session).tags == {"n": 1}
        assert queue.new(unique="u", on_conflict="skip", session=session).key == "a"
        for options in ({"key": "a"}, {"unique": "u"}):
            with pytest.raises(DuplicateTask):
                queue.new(session=session, **options)  # type: ignore[arg-type]
        queue.new(key="b", session=session)
    assert [task.key for task in queue.tasks()] == ["a", "b"]


def test_the_count_of_an_error_in_a_transaction_is_what_its_commit_leaves(queue: Queue, client: Client) -> None:
    queue.new(key="taken", queue="other")
    tasks: list[Any] = [*({} for _ in range(1_001)), NewTask(key="taken"), {}]
    with (
        client.start_session() as session,
        session.start_transaction(),
        pytest.raises(DuplicateTask, match="'taken'") as caught,
    ):
        queue.new_many(tasks, session=session)
    assert caught.value.enqueued == queue.size("default") == 1_000, "of the second chunk nothing was sent"


def test_several_changes_in_one_transaction_build_on_each_other(queue: Queue, client: Client) -> None:
    task = queue.new()
    with client.start_session() as session, session.start_transaction():
        [changed] = queue.modify(change=[task.as_change(priority=1)], session=session).changed
        queue.modify(change=[changed.as_change(priority=2)], session=session)
        with pytest.raises(DependencyError):
            queue.modify(change=[changed.as_change(priority=3)], session=session)
    assert (queue.get(task.key).priority, queue.get(task.key).version) == (2, 3)


@pytest.mark.parametrize("depended", [0, 2])
def test_a_refused_change_leaves_no_trace_in_a_transaction_that_commits(
    queue: Queue, client: Client, depended: int
) -> None:
    tasks = client["mongoq"][f"{queue.namespace}.tasks"]
    task = queue.new()
    for _ in range(depended):
        queue.modify(depend=[task])
    before = tasks.find_one()
    with client.start_session() as session, session.start_transaction(), pytest.raises(DependencyError):
        queue.modify(delete=[TaskRef(task.key, 99)], session=session)
    assert tasks.find_one() == before


def test_the_caller_s_own_with_transaction_replays_after_a_write_conflict(queue: Queue, client: Client) -> None:
    task = queue.new()
    tries: list[Exception | None] = []

    def body(session: ClientSession) -> None:
        client["shop"]["any"].find_one({}, session=session)  # the snapshot is taken here
        if not tries:
            queue.modify(change=[queue.get(task.key).as_change(priority=1)])
        try:
            queue.modify(change=[queue.get(task.key).as_change(priority=2)], session=session)
        except Exception as error:
            tries.append(error)
            raise
        tries.append(None)

    with client.start_session() as session:
        session.with_transaction(body)
    first, second = tries
    assert isinstance(first, StorageUnavailable)
    assert isinstance(first, PyMongoError), "it is what the driver looks for, too"
    assert isinstance(first.__cause__, PyMongoError)
    assert second is None
    assert queue.get(task.key).priority == 2


def test_a_session_is_checked_before_anything_is_sent(queue: Queue, client: Client, server: EmbeddedServer) -> None:
    with client.start_session() as idle, pytest.raises(ConfigurationError, match="transaction in progress"):
        queue.new(session=idle)
    with (
        MongoClient[dict[str, Any]](server.uri) as other,
        other.start_session() as session,
        session.start_transaction(),
        pytest.raises(ConfigurationError, match="the MongoClient that the queue was opened on"),
    ):
        queue.new(session=session)
    with pytest.raises(ConfigurationError, match="session: 3 is not a ClientSession of the queue's MongoClient"):
        queue.modify(session=3)  # type: ignore[arg-type]


def test_a_key_that_comes_twice_in_a_transaction_is_skipped_or_refused_by_name(queue: Queue, client: Client) -> None:
    twice = [NewTask({"n": n}, key="a", on_conflict="skip") for n in (1, 2)]
    with client.start_session() as session, session.start_transaction():
        made = queue.new_many(twice, session=session)
        with pytest.raises(DuplicateTask, match="'b'"):
            queue.new_many([NewTask(key="b"), NewTask(key="b")], session=session)
    assert [task.tags["n"] for task in made] == [1, 1]
    assert [task.key for task in queue.tasks()] == ["a"]
