"""Rates where a process is killed or frozen at any command: never too many starts, none told twice, nothing lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mongoq.core.judging.verdict import MOST_POISON_WEIGHT, Released, Returned
from mongoq.core.requests import ClaimRequest
from mongoq.limiting.limit import Limit
from mongoq.storage.commands import Op
from mongoq.storage.operations import finish, sweep
from mongoq.storage.operations.claiming.claim import Claim
from mongoq.storage.operations.claiming.many import claim_many
from mongoq.storage.operations.limits import keeping
from mongoq.storage.operations.limits.parking import AHEAD
from tests.storage.conftest import Store
from tests.storage.meddling import Meddler, killed_at

RATE, BURST, TASKS = 10, 3, 12
SECOND = 10**9


@pytest.fixture
def rated(make_store: Callable[..., Store]) -> Callable[[], Store]:
    """Give `rated()`: a store with tasks of which so many start in a second."""

    def made() -> Store:
        store = make_store()
        store.run(keeping.put(store.context, Limit("x", rate=RATE, burst=BURST), "test"))
        for number in range(TASKS):
            store.new(key=f"k{number:02}", limits="x")
        return store

    return made


def claim(store: Store) -> Op[Claim]:
    wanted = ClaimRequest(("default",), "w", 100, ahead=AHEAD)
    return claim_many(store.context, wanted, poison_budget=MOST_POISON_WEIGHT)


def starts(store: Store) -> list[int]:
    """The instants that the tasks have which run now."""
    rows = store.collection.find({"state": "running"})
    return [start["at"] for row in rows for start in row["hold"]["starts"]]


def most_within(instants: list[int]) -> int:
    return max(sum(at <= other < at + SECOND for other in instants) for at in instants)


def drained(store: Store, begun: list[int]) -> None:
    """Claim and complete what is there, as workers do, until nothing is left, and note the starts."""
    for _ in range(TASKS * 4):
        store.run(sweep.rescue(store.context))
        store.run(sweep.promote(store.context))
        store.run(sweep.look_at_limits(store.context))
        got: Any = store.run(claim(store))
        begun += [start["at"] for one in got.unread for start in one.starts]
        if got.unread:
            store.run(finish.settle(store.context, got.tasks, Returned(None), "w"))
        if all(task.finished for task in store.list()):
            return
        store.clock.advance(0.2 if got.unread else 7)
    raise AssertionError([(task.key, str(task.state), task.waits_for) for task in store.list()])


def test_a_claim_that_is_killed_at_any_command_wastes_its_starts_and_no_more(rated: Callable[[], Store]) -> None:
    for number in range(1, 30):
        store = rated()
        reached = killed_at(store, number, claim(store))
        begun = starts(store)
        drained(store, begun)
        assert most_within(begun) <= RATE + BURST - 1
        assert len(begun) >= TASKS, "what a crash wasted stays spent"
        if not reached:
            return
    raise AssertionError("it never came to its end")


@pytest.mark.parametrize("frozen", [0.1, 3.0])
def test_a_claim_that_is_frozen_at_any_command_gets_no_start_too_many(
    rated: Callable[[], Store], frozen: float
) -> None:
    for number in range(1, 30):
        store = rated()
        begun: list[int] = []
        came: list[int] = []

        def freeze(
            count: int, number: int = number, store: Store = store, begun: list[int] = begun, came: list[int] = came
        ) -> None:
            if count == number:
                came.append(count)
                for _ in range(3):  # others go on meanwhile, and one of them gives its starts back
                    got = store.run(claim(store))
                    if got.unread and came == [number]:
                        came.append(0)
                        store.run(finish.settle(store.context, got.tasks, Released(), "v"))
                    else:
                        begun += [start["at"] for one in got.unread for start in one.starts]
                    store.clock.advance(frozen / 3)

        got = store.run(Meddler(freeze)(claim(store)))
        begun += [start["at"] for one in got.unread for start in one.starts]
        store.clock.advance(31)
        drained(store, begun)
        assert most_within(begun) <= RATE + BURST - 1, number
        if not came:
            return
    raise AssertionError("it never came to its end")
