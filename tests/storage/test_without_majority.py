"""Writes that no majority confirms: they return, say what happened, and can be repeated."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from pymongo import MongoClient

from mongoq import Queue, StorageUnavailable
from mongoq.storage.drivers.connection import SETTINGS
from mongoq.storage.drivers.handles import confirmed_within
from tests.storage.test_transactions import UNKNOWN, fail, fallible, queue

__all__ = ["fail", "fallible", "queue"]


@pytest.mark.parametrize("settings, limit", [({}, 10_000), (SETTINGS, 2_400), ({"socketTimeoutMS": 60_000}, 10_000)])
def test_a_write_waits_for_its_majority_no_longer_than_its_socket(settings: dict[str, Any], limit: int) -> None:
    with MongoClient[Any]("mongodb://127.0.0.1:1", connect=False, **settings) as client:
        assert confirmed_within(client["mongoq"]) == limit
    assert confirmed_within(SimpleNamespace()) == 10_000


VERBS: dict[str, tuple[str, Callable[[Queue], object]]] = {
    "new": ("insert", lambda queue: queue.new(key="k")),
    "many": ("insert", lambda queue: queue.new_many([{}] * 2)),
    "claim": ("findAndModify", lambda queue: queue.try_claim()),
    "cancel": ("update", lambda queue: queue.cancel("there")),
    "delete": ("delete", lambda queue: queue.delete("there")),
}


@pytest.mark.parametrize("verb", ["new", "many", "cancel", "delete"])
def test_an_unconfirmed_write_says_what_happened(queue: Queue, fail: Any, verb: str) -> None:
    queue.new(key="there")
    command, call = VERBS[verb]
    fail(command, 1, writeConcernError=UNKNOWN)
    with pytest.raises(StorageUnavailable, match=r"majority.*may exist.*same key") as caught:
        call(queue)
    assert caught.value.ambiguous
    assert "lost" not in str(caught.value)


def test_one_without_a_key_of_its_own_names_the_one_it_was_given(queue: Queue, fail: Any) -> None:
    queue.new(key="first")  # with what the first use of a namespace writes
    fail("insert", 1, writeConcernError=UNKNOWN)
    with pytest.raises(StorageUnavailable) as caught:
        queue.new()
    [note] = caught.value.__notes__
    assert queue.new(key=note.rpartition(" ")[2], on_conflict="skip").key in note
    assert queue.size() == 2


def test_a_count_commits_nothing(queue: Queue, fail: Any) -> None:
    queue.new()
    fail("commitTransaction", 50, writeConcernError=UNKNOWN)
    assert queue.size() == 1
    assert not queue.empty()


def test_a_claim_that_no_majority_confirms_is_looked_up(queue: Queue, fail: Any) -> None:
    key = queue.new().key
    fail("findAndModify", 1, writeConcernError=UNKNOWN)
    task = queue.try_claim()
    assert task is not None
    assert task.key == key
