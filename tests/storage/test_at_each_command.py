"""Processes that are killed or freeze at any command of a claim, an ending, a promotion or a rescue of plain tasks.

Those of limits, parents, batches, pauses and ticks have their own: the table is in `docs/internals/protocol.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from mongoq import LeaseLost
from mongoq.core.judging.verdict import MOST_POISON_WEIGHT, Returned
from mongoq.core.requests import ClaimRequest
from mongoq.storage.commands import Op
from mongoq.storage.operations import finish, sweep
from mongoq.storage.operations.claiming.claim import Claim
from mongoq.storage.operations.claiming.many import claim_many
from tests.storage.conftest import Store
from tests.storage.drivers import MONGOMOCK, EventLoop, open_driver
from tests.storage.meddling import Meddler, killed_at

ENOUGH = 30
KEYS = ["a", "b", "c"]
LEASE = 61
"""Seconds after which a lease is over, and the second that a rescue waits."""


@pytest.fixture
def make(event_loop_of_drivers: EventLoop) -> Iterator[Callable[[], Store]]:
    """Give `make()`: a store in memory; closed afterwards."""
    made: list[Store] = []

    def store() -> Store:
        made.append(Store(lambda *told: open_driver(MONGOMOCK, str, event_loop_of_drivers, *told)))
        return made[-1]

    yield store
    for one in made:
        one.close()


def filled(make: Callable[[], Store], **options: object) -> Store:
    store = make()
    for key in KEYS:
        store.new(key=key, **options)
    return store


def claim(store: Store) -> Op[Claim]:
    return claim_many(store.context, ClaimRequest(("default",), "w", 10), poison_budget=MOST_POISON_WEIGHT)


def upkeep(store: Store) -> None:
    """Sweep as a worker does when all leases are over."""
    store.clock.advance(LEASE)
    store.run(sweep.promote(store.context))
    store.run(sweep.rescue(store.context))


def drained(store: Store) -> list[str]:
    """Claim and complete until nothing is left; the keys, each as often as it was completed here."""
    done: list[str] = []
    for _ in range(ENOUGH):
        upkeep(store)
        for task in store.run(claim(store)).tasks:
            store.end(task, Returned(None))
            done.append(task.key)
        if all(task.finished for task in store.list()):
            return sorted(done)
    raise AssertionError([(task.key, str(task.state)) for task in store.list() if not task.finished])


def killed(
    make: Callable[[], Store], op: Callable[[Store], Op[object]], **options: object
) -> Iterator[tuple[Store, int]]:
    """A store in which this operation was killed at its first command, its second, and so on to the last."""
    for number in range(1, ENOUGH):
        store = filled(make, **options)
        if not killed_at(store, number, op(store)):
            assert number > 1, "it has a command"
            return
        yield store, number
    raise AssertionError("it never came to its end")


def frozen(
    make: Callable[[], Store], op: Callable[[Store], Op[object]], others: Callable[[Store], object], **options: object
) -> Iterator[tuple[Store, int]]:
    """A store in which others did this while the operation was frozen before its first command, its second, ..."""
    for number in range(1, ENOUGH):
        store = filled(make, **options)
        prepared, came = op(store), list[int]()

        def meddle(count: int, store: Store = store, number: int = number, came: list[int] = came) -> None:
            if count == number:
                came.append(count)
                others(store)

        try:
            store.run(Meddler(meddle)(prepared))
        except LeaseLost:
            assert came, "nobody had taken its lease"
        if not came:
            assert number > 1, "it has a command"
            return
        yield store, number
    raise AssertionError("it never came to its end")


def completing(store: Store) -> Op[None]:
    return finish.settle(store.context, store.run(claim(store)).tasks, Returned(None), "w")


def promoting(store: Store) -> Op[sweep.Swept]:
    store.clock.advance(11)
    return sweep.promote(store.context)


def rescuing(store: Store) -> Op[sweep.Swept]:
    store.run(claim(store))
    store.clock.advance(LEASE)
    return sweep.rescue(store.context)


def test_a_claim_that_is_killed_at_any_command_loses_no_task(make: Callable[[], Store]) -> None:
    for store, number in killed(make, claim):
        assert drained(store) == KEYS, f"at command {number}"


def test_a_claim_that_froze_at_any_command_holds_nothing_that_another_has(make: Callable[[], Store]) -> None:
    for store, number in frozen(make, claim, drained):
        assert [store.document(key)["state"] for key in KEYS] == ["completed"] * 3, f"at command {number}"
        assert drained(store) == []


def test_an_ending_that_is_killed_at_any_command_is_made_once(make: Callable[[], Store]) -> None:
    for store, number in killed(make, completing):
        assert set(drained(store)) <= set(KEYS), f"at command {number}"
        assert {store.document(key)["state"] for key in KEYS} == {"completed"}


def test_an_ending_that_froze_at_any_command_until_its_lease_was_over_is_refused(make: Callable[[], Store]) -> None:
    def others(store: Store) -> None:
        upkeep(store)
        for task in store.run(claim(store)).tasks:
            store.run(finish.settle(store.context, [task], Returned("theirs"), "other"))

    for store, number in frozen(make, completing, others):
        results = {store.document(key).get("result") for key in KEYS}
        assert results == {"theirs"}, f"at command {number}"


def test_a_promotion_that_is_killed_at_any_command_is_made_by_the_next_sweep(make: Callable[[], Store]) -> None:
    for store, number in killed(make, promoting, delay=10):
        assert drained(store) == KEYS, f"at command {number}"


def test_a_promotion_that_froze_at_any_command_makes_nothing_ready_again(make: Callable[[], Store]) -> None:
    for store, number in frozen(make, promoting, drained, delay=10):
        assert drained(store) == [], f"at command {number}"
        assert [store.document(key)["attempts"] for key in KEYS] == [1] * 3


def test_a_rescue_that_is_killed_at_any_command_is_made_by_the_next_sweep(make: Callable[[], Store]) -> None:
    for store, number in killed(make, rescuing):
        assert drained(store) == KEYS, f"at command {number}"


def test_a_rescue_that_froze_at_any_command_takes_no_later_claim_away(make: Callable[[], Store]) -> None:
    def others(store: Store) -> None:
        store.run(sweep.rescue(store.context))
        assert len(store.run(claim(store)).tasks) == len(KEYS)

    for store, number in frozen(make, rescuing, others):
        assert {task.state for task in store.list()} == {"running"}, f"at command {number}"
