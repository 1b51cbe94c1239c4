"""Changes that are made at once, and one that is sent twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pymongo.errors import PyMongoError

from mongoq.core.errors import StorageUnavailable
from mongoq.core.tasks.conflicts import DependencyError
from mongoq.core.tasks.modification import Modification
from mongoq.core.tasks.new_task import NewTask
from mongoq.storage.operations.modify import apply
from tests.storage.test_modifying import everything


def _on_call(store: Any) -> tuple[Any, Any]:
    return store.new(key="alice", tags={"on_call": True}), store.new(key="bob", tags={"on_call": True})


def test_two_changes_that_only_read_each_other_skew(store: Any) -> None:
    """Snapshot isolation alone: each reads that the other doctor is on call, and both go home."""
    client = store.connection.database.client
    _on_call(store)
    with client.start_session() as first, client.start_session() as second:
        for session, mine in ((first, "alice"), (second, "bob")):
            session.start_transaction()
            assert store.collection.count_documents({"tags.on_call": True}, session=session) == 2
            store.collection.update_one({"_id": mine}, {"$set": {"tags.on_call": False}}, session=session)
        first.commit_transaction()
        second.commit_transaction()
    assert store.collection.count_documents({"tags.on_call": True}) == 0


def test_two_changes_that_depend_on_each_other_do_not_skew(store: Any) -> None:
    client = store.connection.database.client
    alice, bob = _on_call(store)
    home = [
        Modification(change=[alice.as_change(tags={"on_call": False})], depend=[bob]),
        Modification(change=[bob.as_change(tags={"on_call": False})], depend=[alice]),
    ]
    with client.start_session() as first, client.start_session() as second:
        for session in (first, second):
            session.start_transaction()
            store.collection.count_documents({}, session=session)
        store.within(first, apply.modify(store.context, home[0]))
        with pytest.raises(PyMongoError) as caught:
            store.within(second, apply.modify(store.context, home[1]))
        assert caught.value.has_error_label("TransientTransactionError")
        assert isinstance(caught.value, StorageUnavailable)
        first.commit_transaction()
    with pytest.raises(DependencyError):
        store.modify(home[1])
    assert store.collection.count_documents({"tags.on_call": True}) == 1


def test_changes_of_many_threads_are_made_one_after_the_other(store: Any) -> None:
    store.new(key="account", tags={"sum": 0})
    refused = []

    def deposit(_: int) -> None:
        while True:
            account = store.get("account")
            try:
                store.modify(
                    insert=[NewTask({"deposit": 1})], change=[account.as_change(tags={"sum": account.tags["sum"] + 1})]
                )
            except DependencyError as error:
                refused.append(error)
            else:
                return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(deposit, range(24)))
    account = store.get("account")
    assert (account.tags["sum"], account.version) == (24, 25)
    assert store.collection.count_documents({"tags.deposit": 1}) == 24
    assert refused, "they did meet"


def test_many_may_depend_on_one_task_one_after_the_other(store: Any) -> None:
    config = store.new(key="config")
    for _ in range(3):
        store.modify(insert=[NewTask()], depend=[config])
    assert (store.get("config").version, store.document("config")["depended"]) == (1, 3)


def test_a_modification_whose_reply_was_lost_is_made_once(store: Any) -> None:
    task, gone = store.new(), store.new()
    whole = Modification([NewTask(key="made")], [task.as_change(priority=4)], [gone])
    first = store.modify(whole)
    before = everything(store)

    again = store.modify(whole)
    assert everything(store) == before
    assert [made.key for made in again.inserted] == [made.key for made in first.inserted]
    assert again.changed == first.changed


def test_a_later_modification_is_not_taken_for_one_made_before(store: Any) -> None:
    task = store.new()
    store.modify(change=[task.as_change(priority=4)])
    with pytest.raises(DependencyError):
        store.modify(change=[task.as_change(priority=4)])
