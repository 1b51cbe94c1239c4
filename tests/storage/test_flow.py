"""Children are released and batches call back, whoever is killed or frozen at whatever command."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from mongoq import BatchFinished, NewTask, TaskState
from mongoq.core.judging.verdict import Returned
from mongoq.storage.documents import flow
from mongoq.storage.operations import enqueue, sweep
from mongoq.storage.operations.flow import batches, calling
from mongoq.storage.operations.flow.undone import sweep_flow
from tests.storage.conftest import Store
from tests.storage.flows import done, ended, opened, state
from tests.storage.meddling import Meddler, killed_at


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
