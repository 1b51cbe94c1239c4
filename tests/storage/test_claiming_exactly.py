"""Claims of one task by its key, and claims that depend on other tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mongoq.core.errors import TaskNotFound, WrongState
from mongoq.core.judging.verdict import Returned
from mongoq.core.lifecycle import TaskState
from mongoq.core.requests import ClaimRequest
from mongoq.core.tasks.conflicts import DependencyError
from mongoq.core.tasks.modification import Modification
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import Op, UpdateMany
from mongoq.storage.control import Transact
from mongoq.storage.operations import bulk
from mongoq.storage.operations.claiming import exactly

WANTED = ClaimRequest(("default",), "me")
NOTHING = Modification()


def claim(store: Any, key: str, *depend: Task) -> Task:
    task: Task = store.run(exactly.by_key(store.context, WANTED, key=key, depend=Modification(depend=depend)))
    return task


def claim_first(store: Any, *depend: Task) -> Task | None:
    found: Task | None = store.run(
        exactly.most_urgent(store.context, WANTED, depend=Modification(depend=depend), sweeping=True)
    )
    return found


def test_a_claim_by_key_takes_that_task_from_behind_others_and_from_any_queue(store: Any) -> None:
    store.new(priority=9)
    key = store.new(queue="other", tags={"n": 1}, lease=7).key
    task = claim(store, key)
    assert (task.key, task.state, task.worker, task.attempts) == (key, TaskState.RUNNING, "me", 1)
    assert dict(task.tags) == {"n": 1}
    assert task.lease_until is not None
    assert (task.lease_until - store.clock.latest()).total_seconds() == pytest.approx(7, abs=1)
    store.end(task, Returned(42))
    assert store.get(key).result == 42


def test_a_claim_by_key_says_who_holds_it(store: Any) -> None:
    key = store.new().key
    store.claim(worker="another")
    with pytest.raises(DependencyError, match=r"claim .*another holds it until") as refused:
        claim(store, key)
    assert refused.value.has_claims
    assert not refused.value.has_missing


def test_a_claim_by_key_says_why_not(store: Any) -> None:
    with pytest.raises(TaskNotFound, match="nobody"):
        claim(store, "nobody")
    later, cancelled = store.new(delay=60).key, store.new().key
    store.run(bulk.cancel(store.context, cancelled))
    with pytest.raises(WrongState, match="is due at"):
        claim(store, later)
    with pytest.raises(WrongState, match=r"is cancelled: .*rerun"):
        claim(store, cancelled)
    assert store.get(later).state is TaskState.SCHEDULED


def test_a_claim_by_key_takes_what_no_sweep_has_come_by_yet(store: Any) -> None:
    due, lost, over = store.new(delay=60).key, store.new(lease=5).key, store.new(key="over").key
    store.collection.update_one({"_id": over}, {"$set": {"expires_at": store.clock.now()}})
    assert claim(store, lost).attempts == 1
    store.clock.advance(60)
    assert claim(store, due).key == due
    assert claim(store, lost).attempts == 2
    with pytest.raises(WrongState, match="expired"):
        claim(store, over)
    assert store.get(over).state is TaskState.EXPIRED


def test_a_malformed_task_is_set_aside_by_a_claim_of_its_key(store: Any) -> None:
    store.collection.insert_one({"_id": "bad", "queue": "default", "state": "ready", "priority": 0, "version": 1})
    with pytest.raises(WrongState, match="failed"):
        claim(store, "bad")


def test_a_claim_is_refused_where_its_dependency_has_changed(store: Any) -> None:
    config = store.new(key="config", queue="config")
    key = store.new().key
    assert claim(store, key, config).key == key, "it is as it was read"
    assert store.get("config").version == config.version
    waiting = store.new(key="waiting").key
    store.modify(change=[config.as_change(tags={"n": 2})])
    attempts: list[Callable[[], Any]] = [lambda: claim(store, waiting, config), lambda: claim_first(store, config)]
    for attempt in attempts:
        with pytest.raises(DependencyError, match="at version 2 now, not at version 1") as refused:
            attempt()
        assert [conflict.key for conflict in refused.value.missing] == ["config"]
        assert store.get(waiting).attempts == 0


def test_a_claim_with_dependencies_takes_the_most_urgent_task(store: Any) -> None:
    config = store.new(key="config", queue="config")
    store.new(key="low")
    store.new(key="high", priority=1)
    store.new(key="later", delay=10)
    assert [task and task.key for task in (claim_first(store, config) for _ in range(3))] == ["high", "low", None]
    store.clock.advance(10)
    due = claim_first(store, config)
    assert due is not None
    assert due.key == "later", "what is due is promoted first"


def test_a_claim_that_finds_nothing_tells_of_a_changed_dependency_too(store: Any) -> None:
    config = store.new(key="config", queue="config")
    assert claim_first(store, config) is None
    store.run(bulk.delete(store.context, "config"))
    with pytest.raises(DependencyError, match="no task has this key"):
        claim_first(store, config)


def test_a_claim_whose_candidate_goes_to_another_takes_the_next(store: Any) -> None:
    config = store.new(key="config", queue="config")
    first, second = store.new().key, store.new().key
    op = exactly.most_urgent(store.context, WANTED, depend=Modification(depend=[config]), sweeping=True)

    def raced() -> Op[Task | None]:
        reply, error, taken = None, None, False
        while True:
            try:
                command = op.send(reply) if error is None else op.throw(error)
            except StopIteration as done:
                result: Task | None = done.value
                return result
            reply = error = None
            if isinstance(command, Transact) and not taken:
                taken = True
                yield from _taken_by_another(store, first)
            try:
                reply = yield command
            except Exception as caught:  # noqa: BLE001 -- as a driver throws it in
                error = caught

    task = store.run(raced())
    assert task is not None
    assert task.key == second
    assert store.document("config").get("depended") == 1, "the change that missed was undone"


def _taken_by_another(store: Any, key: str) -> Op[None]:
    yield UpdateMany(store.context.tasks, {"_id": key}, {"$set": {"state": "running"}, "$inc": {"version": 1}})
