"""Documents that somebody else wrote: none of them may stop a queue, and no key is read as an operator."""

from __future__ import annotations

from typing import Any

import pytest
from bson import Regex

from mongoq import NewTask, Queue, Task, TaskNotFound, WrongState
from mongoq.core.requests import Adjustment
from mongoq.embedded.server import EmbeddedServer
from mongoq.storage.commands import Op
from mongoq.storage.documents import filters
from mongoq.storage.operations import adjust

GOOD = {"queue": "default", "state": "ready", "priority": 9, "tags": {}, "version": 1}
BAD: dict[str, dict[str, Any]] = {
    "an expiry that is a string": {"expires_at": "2030-01-01"},
    "no version": {"version": None},
    "a version that is a string": {"version": "1"},
    "attempts of null": {"attempts": None},
    "a key that is a document": {"_id": {"a": 1}},
    "a run_at that is a string": {"run_at": "2030-01-01"},
    "no run_at": {"run_at": None},
    "a priority that is a string": {"priority": "high"},
    "a policy that cannot be read": {"policy": {"backoff": Regex("x"), "lease": -5}},
    "tags that are a list": {"tags": [1, 2]},
    "an unknown state": {"state": "queued"},
    "a scheduled one whose run_at is a string": {"state": "scheduled", "run_at": "2030-01-01"},
}


@pytest.mark.parametrize("fault", BAD)
def test_a_document_that_is_no_task_does_not_stop_the_others(store: Any, server: EmbeddedServer, fault: str) -> None:
    now = store.clock.now().replace(year=2020)
    store.collection.insert_one({"_id": "bad", "run_at": now, **GOOD, **BAD[fault]})
    with Queue(server.uri, namespace=store.context.namespace, workers=2) as queue:
        queue.new_many([{}] * 50)
        queue.new(delay=0.05, key="delayed")
        queue.run(lambda task: None, burst=True)
        while not queue.get("delayed").finished:
            queue.run_once(lambda task: None)
        assert queue.stats()["default"].completed >= 51
    assert store.collection.count_documents({"state": "running"}) == 0


def test_a_document_that_cannot_be_claimed_says_why(store: Any, server: EmbeddedServer) -> None:
    store.collection.insert_one({"_id": "bad", "run_at": store.clock.now(), **GOOD, "expires_at": "tomorrow"})
    store.claim(10)

    document = store.document("bad")
    assert (document["state"], document["note"]) == (
        "failed",
        "not a task: the field expires_at is missing or of a wrong type",
    )
    assert "purge_at" in document


@pytest.mark.parametrize("version", [1.0, "1", None])
def test_an_update_without_a_version_to_go_by_is_refused_instead_of_tried_for_ever(store: Any, version: Any) -> None:
    store.collection.insert_one({"_id": "bad", "run_at": store.clock.now(), **GOOD, "version": version})
    update = adjust.adjust(store.context, "bad", Adjustment(priority=5))

    def at_most(commands: int) -> Op[None]:
        reply = None
        for _ in range(commands):
            reply = yield update.send(reply)

    with pytest.raises(WrongState, match="version"):
        store.run(at_most(10))
    assert store.document("bad")["priority"] == GOOD["priority"]


@pytest.mark.parametrize("operator", [{"$gt": ""}, {"$ne": None}, {"$exists": True}])
def test_a_mapping_in_place_of_a_key_is_no_operator(store: Any, server: EmbeddedServer, operator: Any) -> None:
    with Queue(server.uri, namespace=store.context.namespace) as queue:
        queue.new_many([{}] * 3)
        for verb in (queue.get, queue.cancel):
            with pytest.raises((TaskNotFound, ValueError)):
                verb(operator)
        for among in (queue.size, lambda given: queue.tasks(queue=given)):
            with pytest.raises(ValueError, match="queue"):
                among(operator)
        assert queue.stats()["default"].ready == 3
    assert store.collection.count_documents({"state": "ready"}) == 3
    assert store.collection.count_documents(filters.by_keys([operator])) == 0, "also where nothing checked it before"


def test_expired_tasks_at_the_head_do_not_hide_a_live_one(store: Any) -> None:
    soon = store.clock.now().replace(second=5)
    store.new_many([NewTask(expires_at=soon, priority=1) for _ in range(250)])
    live = store.new().key
    store.clock.advance(10)

    claimed: Task | None = store.claim_one()
    assert claimed is not None
    assert claimed.key == live
