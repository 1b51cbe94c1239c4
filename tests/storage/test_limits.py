"""Limits where a process is killed at any command, or another claims between any two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from mongoq.core.judging.verdict import MOST_POISON_WEIGHT, Released, Returned
from mongoq.core.requests import ClaimRequest
from mongoq.limiting.limit import FIFO, PRIORITY, Limit
from mongoq.storage.commands import Op
from mongoq.storage.operations import finish, sweep
from mongoq.storage.operations.claiming.claim import Claim
from mongoq.storage.operations.claiming.many import claim_many
from mongoq.storage.operations.limits import keeping, parking
from tests.storage.conftest import Store
from tests.storage.meddling import Meddler, killed_at

MOST = 2


@pytest.fixture
def limited(make_store: Callable[..., Store]) -> Callable[..., Store]:
    """Give `limited(order)`: a store with six tasks of two groups, of which two, or one in order, run at once."""

    def made(order: str = PRIORITY) -> Store:
        store = make_store()
        most = 1 if order == FIFO else MOST
        store.run(keeping.put(store.context, Limit("x", most, "group", order, highest=most), "test"))
        for number in range(6):
            store.new(key=f"k{number}", tags={"group": number % 2}, limits="x")
        return store

    return made


def claim(store: Store, limit: int = 10) -> Op[Claim]:
    return claim_many(store.context, ClaimRequest(("default",), "w", limit), poison_budget=MOST_POISON_WEIGHT)


def running(store: Store) -> Counter[Any]:
    """How many of each group run."""
    return Counter(task.tags["group"] for task in store.list() if task.state == "running")


def drained(store: Store, most: int = MOST) -> list[str]:
    """Claim and complete what is there, as workers do, until nothing is left; the keys in their order."""
    order: list[str] = []
    for _ in range(60):
        store.clock.advance(61)
        store.run(sweep.rescue(store.context))
        store.run(sweep.look_at_limits(store.context))
        held = store.run(claim(store)).tasks
        assert all(count <= most for count in running(store).values())
        for task in held:
            order.append(task.key)
            store.end(task, Returned(None))
        if all(task.finished for task in store.list()):
            return order
    raise AssertionError([(task.key, str(task.state), task.waits_for) for task in store.list()])


def test_a_claim_that_is_killed_at_any_command_leaves_no_slot_and_nobody_behind(limited: Callable[..., Store]) -> None:
    for number in range(1, 40):
        store = limited()
        reached = killed_at(store, number, claim(store))
        assert all(count <= MOST for count in running(store).values())
        assert sorted(drained(store)) == [f"k{n}" for n in range(6)]
        if not reached:
            return
    raise AssertionError("it never came to its end")


def test_an_ending_that_is_killed_at_any_command_lets_the_next_go_after_a_sweep(limited: Callable[..., Store]) -> None:
    for number in range(1, 30):
        store = limited()
        held = store.run(claim(store)).tasks
        reached = killed_at(store, number, finish.settle(store.context, held, Returned(None), "w"))
        store.clock.advance(61)
        store.run(sweep.rescue(store.context))
        store.run(sweep.look_at_limits(store.context))
        assert len(store.run(claim(store)).tasks) >= 2
        drained(store)
        if not reached:
            return
    raise AssertionError("it never came to its end")


def test_two_claims_never_get_one_too_many_wherever_the_other_comes_between(limited: Callable[..., Store]) -> None:
    for number in range(1, 40):
        store = limited()
        came: list[int] = []

        def other(count: int, number: int = number, store: Store = store, came: list[int] = came) -> None:
            if count == number:
                came.append(len(store.run(claim(store)).tasks))

        store.run(Meddler(other)(claim(store)))
        assert all(count <= MOST for count in running(store).values())
        drained(store)
        if not came:
            return
    raise AssertionError("it never came to its end")


def test_a_slot_that_is_freed_while_a_claim_parks_is_not_missed(limited: Callable[..., Store]) -> None:
    for number in range(1, 40):
        store = limited()
        first = store.run(claim(store, 4)).tasks
        came: list[bool] = []

        def free(count: int, number: int = number, store: Store = store, first: Any = first, came: Any = came) -> None:
            if count == number:
                came.append(True)
                store.end(first[0], Returned(None))

        got = store.run(Meddler(free)(claim(store))).tasks
        assert len(got) + len(store.run(claim(store)).tasks) == len(came), "no sweep was needed"
        if not came:
            return
    raise AssertionError("it never came to its end")


def test_an_ending_lets_the_next_go_without_a_sweep(limited: Callable[..., Store]) -> None:
    store = limited()
    held = store.run(claim(store)).tasks
    assert store.run(claim(store)).tasks == []
    store.end(held[0], Returned(None))
    assert len(store.run(claim(store)).tasks) == 1


def test_starts_of_a_claim_that_another_was_faster_with_are_given_back(store: Store) -> None:
    store.run(keeping.put(store.context, Limit("x", rate=1, burst=4), "test"))
    for number in range(8):
        store.new(key=f"k{number}", limits="x")
    held = store.run(claim(store)).tasks
    assert len(held) == 4
    store.run(finish.settle(store.context, held, Released(), "w"))
    assert store.run(claim(store)).tasks == [], "those starts have passed: they stay spent"
    store.clock.advance(1)
    store.run(sweep.look_at_limits(store.context))
    assert len(store.run(claim(store)).tasks) == 1


def test_a_line_runs_in_order_whoever_is_killed(limited: Callable[..., Store]) -> None:
    for number in range(1, 40):
        store = limited(FIFO)
        reached = killed_at(store, number, claim(store))
        order = drained(store, 1)
        assert [key for key in order if int(key[1]) % 2 == 0] == ["k0", "k2", "k4"]
        assert [key for key in order if int(key[1]) % 2] == ["k1", "k3", "k5"]
        if not reached:
            return
    raise AssertionError("it never came to its end")


def test_the_most_urgent_parked_tasks_of_several_groups_are_read_whole(limited: Callable[..., Store]) -> None:
    store = limited()
    for number in range(6, 14):
        store.new(key=f"k{number:02}", tags={"group": number % 2}, limits="x", priority=number // 2)
    store.run(claim(store, 20))
    found = store.run(parking.whole(store.context, {"x:0": 2, "x:1": 1, "x:2": 5}))
    assert [one["_id"] for one in found] == ["k08", "k06", "k09"]
    assert all(one["run_at"].tzinfo is None and one["limits"] == {"x": 1} for one in found)
