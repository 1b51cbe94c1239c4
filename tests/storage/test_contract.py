"""The schema of a task's document, and the validator that MongoDB makes of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo.errors import WriteError

from mongoq import Attempt, Cancel, Done, Fail, Move, NewTask, Queue, Retry, Snooze, StorageRefused, Task
from mongoq.storage.documents import fields
from mongoq.storage.documents.contract import schema

MakeQueue = Callable[..., Queue]
SIGNALS: dict[str, BaseException] = {
    "retry": Retry("later", delay=0.01), "snooze": Snooze(0.01), "fail": Fail("no"), "cancel": Cancel("no"),
    "move": Move("elsewhere"), "raise": ValueError("no"),
}  # fmt: skip


def collection_of(queue: Queue) -> Any:
    return queue._base.driver.connection.database[f"{queue.namespace}.tasks"]


def test_every_field_of_a_document_is_described() -> None:
    inner = {fields.TOKEN, fields.WORKER, fields.STARTED_AT, fields.LEASE_UNTIL, fields.SLOTS}
    stored = {value for name, value in vars(fields).items() if name.isupper() and isinstance(value, str)}
    described = schema.PRODUCED.keys() | schema.WRITTEN.keys()
    assert stored - inner - {fields.OLDEST_READER} == described, "describe it in documents/contract/schema.py"


def test_a_document_that_is_no_task_is_refused_by_the_server(make_queue: MakeQueue) -> None:
    queue = make_queue()
    assert f"{queue.namespace}.tasks.validator" in queue.init(validator=True)
    assert queue.init(validator=True) == []
    tasks = collection_of(queue)
    good = {"_id": "a", "queue": "default", "state": "ready", "priority": 0, "run_at": datetime.now(UTC), "version": 1}
    tasks.insert_one(good)
    for name, wrong in (("queue", 7), ("state", "waiting"), ("priority", "high"), ("run_at", "now"), ("tags", [])):
        with pytest.raises(WriteError, match="failed validation"):
            tasks.insert_one({**good, "_id": f"b-{name}", name: wrong})
    with pytest.raises(WriteError, match="failed validation"):
        tasks.insert_one({name: value for name, value in good.items() if name != "version"} | {"_id": "c"})

    assert queue.init(validator=False) == [f"{queue.namespace}.tasks.validator"]
    assert queue.init(validator=False) == []
    tasks.insert_one({"_id": "d"})


def test_all_that_happens_to_a_task_passes_the_validator(make_queue: MakeQueue) -> None:
    queue = make_queue(backoff=0.01, max_retries=1, error_queue=True, max_size=1_000)
    queue.init(validator=True)
    ended: set[str] = set()

    def handler(attempt: Attempt, task: Task) -> Any:
        attempt.progress(0.5, "half")
        attempt.log("a line")
        if (how := task.get("how")) in SIGNALS and task.attempts == 1:
            raise SIGNALS[how]
        ended.add(task.key)
        if task.queue == "followed":
            return None
        return Done({"of": task.key}, then=[NewTask(queue="followed", unique=f"after-{task.key}")])

    queue.new_many([{"how": how} for how in SIGNALS])
    queue.new({"n": 1}, key="named", name="work", payload=[1], context={"tenant": "a"}, unique="u", deadline=30)
    queue.new(key="again", unique="again", on_conflict="replace", delay=0.01)
    queue.new(unique="again", on_conflict="again")
    queue.new(key="late", delay=60, expires_at=datetime(2099, 1, 1, tzinfo=UTC))
    queue.update("late", priority=9, tags={"user": 2})
    queue.cancel("late")
    queue.rerun("late")
    queue.modify(insert=[NewTask(key="made")], change=[queue.get("late").as_change(priority=2)])
    queue.run(handler, queues=["default", "elsewhere", "default/err"], burst=True)
    queue.redrive("default/err")
    queue.run(handler, queues=["default", "followed"], burst=True)
    by_hand = queue.new()
    held = queue.claim(key=by_hand.key)
    assert held
    queue.renew(held)
    queue.release(held)
    with queue.transaction(queue.claim_many(1)[0]):
        pass

    assert {"named", "again", "late", "made"} <= ended
    queue.new(key="fails")
    queue.fail(queue.claim_many(1)[0], "by hand")
    states = {task.state for task in queue.tasks(limit=None)}
    assert {"completed", "cancelled"} <= states
    assert {task.failure for task in queue.tasks(queue="default/err", limit=None)} == {"handler"}


def test_the_server_says_what_a_validator_refused(make_queue: MakeQueue) -> None:
    queue = make_queue()
    queue.init()
    command = {"validator": {"queue": "other"}, "validationLevel": "strict"}
    collection_of(queue).database.command("collMod", f"{queue.namespace}.tasks", **command)
    with pytest.raises(StorageRefused, match="the collection's validator does not accept it"):
        queue.new()
    queue.init(validator=True)
    queue.new()


def test_what_was_there_before_may_be_set_aside_as_failed(make_queue: MakeQueue) -> None:
    queue = make_queue()
    queue.init()
    foreign = {"_id": "foreign", "queue": "default", "state": "ready", "priority": 0, "run_at": "soon", "version": 1}
    collection_of(queue).insert_one(foreign)
    queue.init(validator=True)
    queue.new(key="mine")
    queue.run(lambda _task: None, burst=True)

    assert queue.get("mine").state == "completed"
    assert queue.get("foreign").state == "failed"
