"""What flow costs: commands of an ending, looks, and sweeps."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any

import pytest

from mongoq import NewTask, TaskState
from mongoq.core.judging.verdict import Returned
from mongoq.storage.commands import Aggregate, Op
from mongoq.storage.documents import indexes
from mongoq.storage.operations.flow import batches, check, release, vanished
from mongoq.storage.operations.flow.undone import sweep_flow
from tests.storage.conftest import Store
from tests.storage.flows import THEN, done, ended, opened, state
from tests.storage.meddling import Meddler


def test_an_ending_of_plain_tasks_looks_for_nothing(flowing: Callable[[], Store]) -> None:
    store = flowing()
    store.new(key="a")
    looks = Meddler(lambda _: None)
    store.run(looks(ended(store, store.claim())))
    assert looks.count == 1


def test_a_flush_with_parents_takes_two_commands_more_and_one_with_members_one(flowing: Callable[[], Store]) -> None:
    store = flowing()
    for number in range(10):
        store.new(key=f"p{number}")
        store.new(key=f"c{number}", after=[f"p{number}"])
    looks = Meddler(lambda _: None)
    store.run(looks(ended(store, store.claim(10))))
    assert looks.count == 3
    store.collection.delete_many({})
    opened(store, members=20)
    looks = Meddler(lambda _: None)
    store.run(looks(ended(store, store.claim(10))))
    assert looks.count == 2


def test_a_look_at_a_batch_reads_its_live_members_alone(flowing: Callable[[], Store]) -> None:
    store = flowing()
    key = opened(store, members=3)
    other = store.run(batches.open_batch(store.context, NewTask(), THEN, None, within=False))
    store.new_many([NewTask(batch=other, queue="later") for _ in range(50)])
    store.run(batches.close(store.context, key))
    plans: list[str] = []

    def watched(op: Op[Any]) -> Op[Any]:
        reply = None
        with contextlib.suppress(StopIteration):
            while True:
                command = op.send(reply)
                if isinstance(command, Aggregate):
                    assert command.hint == indexes.MEMBERS
                    plans.append(plan_of(store, command))
                reply = yield command

    store.run(watched(ended(store, store.claim(3))))
    assert state(store, key) == "ready"
    (plan,) = plans
    if plan:
        read = sum(map(int, re.findall(r"'totalKeysExamined': (?:Int64\()?(\d+)", plan)))
        assert 3 <= read <= 10, plan
        assert "'collectionScans': 1" not in plan, plan


def plan_of(store: Store, command: Aggregate) -> str:
    """How the server would look at the batches now; mongomock has no plans."""
    if "mongomock" in type(store.collection).__module__:
        return ""
    pipeline = command.pipeline[1]["$unionWith"]["pipeline"]
    asked = {"aggregate": command.collection, "pipeline": pipeline, "hint": "_id_", "cursor": {}}
    return str(store.connection.database.command("explain", asked, verbosity="executionStats"))


def test_a_sweep_of_a_namespace_without_flow_asks_for_nothing(store: Store) -> None:
    looks = Meddler(lambda _: None)
    store.run(looks(sweep_flow(store.context)))
    assert looks.count == 0


def test_more_children_than_one_look_brings_are_all_released(
    flowing: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "MOST", 7)
    monkeypatch.setattr(check, "TOGETHER", 7)
    store = flowing()
    store.new(key="a")
    store.new_many([NewTask(key=f"c{number:02}", after=["a"]) for number in range(30)])
    store.end(store.claim()[0], Returned(None))
    assert store.collection.count_documents({"state": TaskState.READY}) == 30


def test_children_of_a_parent_that_another_program_deletes_are_told_within_a_sweep_and_a_lease(
    flowing: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vanished, "PAGE", 3)
    store = flowing()
    for parent in ("p1", "p2", "p3"):
        store.new(key=parent)
        store.new_many([NewTask(key=f"{parent}-{n}", after=[parent], queue="later") for n in range(4)])
    store.new(key="anyway", after=["p1", "p2"], on_parent_failure="run")
    store.run(sweep_flow(store.context))
    store.collection.delete_many({"_id": {"$in": ["p1", "p3"]}})
    for _ in range(7):  # a sweep every 5 s
        store.clock.advance(5)
        store.run(sweep_flow(store.context))
    assert [state(store, f"p{n}-{m}") for n in (1, 2, 3) for m in range(4)] == [
        *["cancelled"] * 4, *["parked"] * 4, *["cancelled"] * 4,
    ]  # fmt: skip
    assert store.get("p3-1").note == "its parent p3 is missing"
    assert state(store, "anyway") == "parked", "one of its parents is still to come"
    done(store, "p2")
    assert [state(store, "anyway"), state(store, "p2-0")] == ["completed", "ready"]


def test_one_process_at_a_time_looks_for_parents_that_are_gone(flowing: Callable[[], Store]) -> None:
    store = flowing()
    store.new(key="p")
    store.new(after=["p"])
    store.run(vanished.look_for_parents(store.context))
    store.collection.delete_one({"_id": "p"})
    found = [store.run(vanished.look_for_parents(store.context)).missing for _ in range(3)]
    assert found == [1, 0, 0]
