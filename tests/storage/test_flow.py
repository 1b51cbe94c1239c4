"""Children and batches where a process is killed or freezes at any command, and what an ending of theirs costs."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import pytest

from mongoq import BatchFinished, NewTask, TaskState
from mongoq.core.judging.follow_up import FollowUp
from mongoq.core.judging.verdict import Returned
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import Aggregate, Op
from mongoq.storage.documents import flow, indexes
from mongoq.storage.operations import enqueue, finish, schema, sweep
from mongoq.storage.operations.flow import batches, calling, check, release, vanished
from mongoq.storage.operations.flow.undone import sweep_flow
from tests.storage.conftest import Store
from tests.storage.meddling import Meddler, killed_at

THEN: Final = FollowUp("default", None, 0, {"callback": True})


@pytest.fixture
def flowing(make_store: Callable[..., Store]) -> Callable[[], Store]:
    """Give `flowing()`: a store whose indexes for flow are there."""

    def made() -> Store:
        store = make_store()
        store.run(schema.ensure_flow(store.context))
        return store

    return made


def state(store: Store, key: str) -> str:
    return str(store.get(key).state)


def swept(store: Store) -> None:
    """Sweep as workers do, as long as there is something to do, when a lease and a look are over."""
    store.clock.advance(61)
    for _ in range(20):
        moved = store.run(sweep.rescue(store.context)).moved
        moved += store.run(sweep.promote(store.context)).moved
        moved += store.run(sweep_flow(store.context)).moved
        if not moved:
            return
    raise AssertionError("it never comes to rest")


def opened(store: Store, members: int = 2) -> str:
    key: str = store.run(batches.open_batch(store.context, NewTask(), THEN, None, within=False))
    for number in range(members):
        store.new(key=f"m{number}", batch=key)
    return key


def ended(store: Store, tasks: list[Task]) -> Op[None]:
    return finish.settle(store.context, tasks, Returned(None), "w")


def done(store: Store, chosen: str) -> None:
    """End what is claimed until nothing is left that may be; `chosen` must be among it once."""
    ran: list[str] = []
    while task := store.claim_one():
        store.end(task, Returned(None))
        ran.append(task.key)
    assert ran.count(chosen) == 1, ran


def test_a_child_is_released_though_its_parents_holder_is_killed_at_any_command(flowing: Callable[[], Store]) -> None:
    for number in range(1, 20):
        store = flowing()
        store.new(key="a")
        store.new(key="c", after=["a"])
        store.new(key="d", after=["c", "a"])
        reached = killed_at(store, number, ended(store, store.claim()))
        swept(store)
        done(store, "d")
        assert [state(store, key) for key in "acd"] == ["completed"] * 3
        assert store.document("a")["children"] == flow.SETTLED
        if not reached:
            return
    raise AssertionError("it never came to its end")


def test_a_child_does_not_wait_for_ever_though_its_producer_is_killed_at_any_command(
    flowing: Callable[[], Store],
) -> None:
    for number in range(1, 20):
        store = flowing()
        store.new(key="a")
        store.new(key="b")
        store.end(store.claim()[0], Returned(None))
        reached = killed_at(store, number, enqueue.new(store.context, NewTask(key="c", after=["a", "b"])))
        there = store.collection.count_documents({"_id": "c"})
        swept(store)
        done(store, "c" if there else "b")
        assert not store.collection.count_documents({"state": TaskState.PARKED})
        assert not store.collection.count_documents({"unchecked": {"$exists": True}})
        if not reached:
            return
    raise AssertionError("it never came to its end")


def test_a_parent_that_ends_at_any_command_of_the_producer_releases_the_child(flowing: Callable[[], Store]) -> None:
    for number in range(1, 20):
        store = flowing()
        store.new(key="a")
        (parent,) = store.claim()
        looks = Meddler(lambda count: store.end(parent, Returned(None)) if count == number else None)  # noqa: B023
        store.run(looks(enqueue.new(store.context, NewTask(key="c", after=["a"]))))
        if looks.count < number:
            return
        assert state(store, "c") == "ready", f"at command {number}, without a sweep"
    raise AssertionError("it never came to its end")


def test_a_child_that_comes_at_any_command_of_the_ending_is_released(flowing: Callable[[], Store]) -> None:
    for number in range(1, 20):
        store = flowing()
        store.new(key="a")
        store.new(key="b", after=["a"])
        (parent,) = store.claim()
        looks = Meddler(lambda count: store.new(key="c", after=["a"]) if count == number else None)  # noqa: B023
        store.run(looks(ended(store, [parent])))
        if looks.count < number:
            return
        assert [state(store, key) for key in "bc"] == ["ready", "ready"], f"at command {number}"
    raise AssertionError("it never came to its end")


def test_two_who_end_the_two_parents_of_one_child_release_it_once(flowing: Callable[[], Store]) -> None:
    for number in range(1, 20):
        store = flowing()
        store.new(key="a")
        store.new(key="b")
        store.new(key="c", after=["a", "b"])
        first, second = store.claim(2)
        looks = Meddler(lambda count: store.end(second, Returned(None)) if count == number else None)  # noqa: B023
        store.run(looks(ended(store, [first])))
        if looks.count < number:
            return
        assert state(store, "c") == "ready", f"at command {number}"
        assert store.document("c")["version"] == 2
    raise AssertionError("it never came to its end")


def test_a_batch_calls_back_once_though_who_ends_its_members_is_killed_at_any_command(
    flowing: Callable[[], Store],
) -> None:
    for number in range(1, 30):
        store = flowing()
        key = opened(store)
        store.run(batches.close(store.context, key))
        store.end(store.claim()[0], Returned(None))
        purge_at = store.document("m0")["purge_at"]
        assert purge_at > store.clock.now() + timedelta(days=1), "it is kept for the count"
        reached = killed_at(store, number, ended(store, store.claim()))
        swept(store)
        ran = []
        while task := store.claim_one():
            store.end(task, Returned(None))
            ran.append(task)
            swept(store)
        assert [task.key for task in ran].count(key) == 1, "it is called back once"
        assert ran[-1].payload == {"batch": key, "completed": 2, "failed": 0, "cancelled": 0, "expired": 0}
        assert store.document("m0")["purge_at"] - store.clock.now() < timedelta(hours=2), "its days are counted"
        if not reached:
            return
    raise AssertionError("it never came to its end")


def test_a_callback_that_was_purged_is_not_made_again(flowing: Callable[[], Store]) -> None:
    for number in range(1, 30):
        store = flowing()
        key = opened(store, members=1)
        store.run(batches.close(store.context, key))
        reached = killed_at(store, number, ended(store, store.claim()))
        if state(store, key) == "ready":
            store.end(store.claim()[0], Returned(None))
            store.collection.delete_one({"_id": key})
            swept(store)
            assert store.claim() == []
        if not reached:
            return
    raise AssertionError("it never came to its end")


def test_a_member_that_comes_at_any_command_of_the_call_is_counted_or_refused(flowing: Callable[[], Store]) -> None:
    for number in range(1, 30):
        store = flowing()
        key = opened(store, members=1)
        store.run(batches.close(store.context, key))
        (member,) = store.claim()
        refused: list[bool] = []

        def add(count: int) -> None:
            if count == number:  # noqa: B023
                try:
                    store.new(key="late", batch=key)  # noqa: B023
                except BatchFinished:
                    refused.append(True)  # noqa: B023

        looks = Meddler(add)
        store.run(looks(ended(store, [member])))
        if looks.count < number:
            return
        late = store.collection.count_documents({"_id": "late"})
        assert late == (not refused)
        assert state(store, key) == ("parked" if late else "ready"), f"at command {number}"
        if late:
            store.end(store.claim()[0], Returned(None))
            assert store.claim()[0].payload["completed"] == 2
    raise AssertionError("it never came to its end")


def test_one_who_freezes_at_any_command_of_the_call_does_not_call_back_again(flowing: Callable[[], Store]) -> None:
    for number in range(2, 30):
        store = flowing()
        key = opened(store, members=1)
        store.run(batches.close(store.context, key))
        (member,) = store.claim()

        def thaw(count: int) -> None:
            if count == number:  # noqa: B023
                store.run(calling.look(store.context, [key]))  # noqa: B023
                for callback in store.claim():  # noqa: B023
                    store.end(callback, Returned(None))  # noqa: B023

        looks = Meddler(thaw)
        store.run(looks(ended(store, [member])))
        if looks.count < number:
            return
        left = store.claim()
        assert [task.attempts for task in left] == [1] * len(left), f"called again at command {number}"
        assert store.document(key)["attempts"] == 1
    raise AssertionError("it never came to its end")


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
