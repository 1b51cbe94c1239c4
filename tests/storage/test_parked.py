"""Processes that are killed or freeze at any command of a pause, a sweep of limits, a release, or a new member."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from mongoq import NewTask
from mongoq.core.judging.follow_up import FollowUp
from mongoq.core.judging.verdict import MOST_POISON_WEIGHT, Returned
from mongoq.core.requests import ClaimRequest
from mongoq.limiting.limit import Limit
from mongoq.pausing.pause import Target
from mongoq.storage.commands import Op
from mongoq.storage.operations import enqueue, finish, schema, sweep
from mongoq.storage.operations.claiming.claim import Claim
from mongoq.storage.operations.claiming.many import claim_many
from mongoq.storage.operations.flow import batches, calling, release
from mongoq.storage.operations.flow.undone import sweep_flow
from mongoq.storage.operations.limits import holding, keeping
from mongoq.storage.operations.limits.sweeping import sweep_limits
from mongoq.storage.operations.namespace import orders
from tests.storage.conftest import Store
from tests.storage.drivers import MONGOMOCK, EventLoop, open_driver
from tests.storage.meddling import Meddler, killed_at

TARGETS = (Target(tag="tenant", value="acme"), Target(name="charge"))
MOST = 2
THEN = FollowUp("default", None, 0, {"callback": True})
ENOUGH = 60


@pytest.fixture
def make(event_loop_of_drivers: EventLoop) -> Iterator[Callable[[], Store]]:
    """Give `make()`: a store in memory, with the indexes of flow; closed afterwards."""
    made: list[Store] = []

    def store() -> Store:
        made.append(Store(lambda *told: open_driver(MONGOMOCK, str, event_loop_of_drivers, *told)))
        made[-1].run(schema.init(made[-1].context))
        made[-1].run(schema.ensure_flow(made[-1].context))
        return made[-1]

    yield store
    for one in made:
        one.close()


@pytest.fixture(params=TARGETS, ids=["value", "name"])
def target(request: pytest.FixtureRequest) -> Target:
    """Give what is paused."""
    given: Target = request.param
    return given


def paused(make: Callable[[], Store], target: Target) -> Store:
    store = make()
    for number in range(3):
        store.new(key=f"acme-{number}", tags={"tenant": "acme"}, name="charge")
    store.new(key="other")
    store.run(orders.pause(store.context, target, {"reason": None, "until": None, "by": "ada"}))
    store.run(holding.begin(store.context))
    return store


def resumed(store: Store, target: Target) -> Op[None]:
    yield from orders.resume(store.context, target)
    yield from orders.read(store.context)
    yield from holding.let_go(store.context, target)


def limited(make: Callable[[], Store]) -> Store:
    store = make()
    store.run(keeping.put(store.context, Limit("x", MOST, highest=MOST), "test"))
    for number in range(6):
        store.new(key=f"k{number}", limits="x")
    return store


def claim(store: Store, limit: int = 10) -> Op[Claim]:
    return claim_many(store.context, ClaimRequest(("default",), "w", limit), poison_budget=MOST_POISON_WEIGHT)


def swept(store: Store) -> None:
    """Sweep once, as a worker does when a lease is over."""
    store.clock.advance(61)
    store.run(sweep.rescue(store.context))
    store.run(sweep.look_at_limits(store.context))
    store.run(sweep_flow(store.context))


def drained(store: Store) -> list[str]:
    """Claim and complete until nothing is left; the keys in their order. Nothing may stay parked."""
    order: list[str] = []
    for _ in range(ENOUGH):
        swept(store)
        for task in store.run(claim(store)).tasks:
            order.append(task.key)
            store.end(task, Returned(None))
        if all(task.finished for task in store.list()):
            return order
    raise AssertionError([(task.key, str(task.state), task.waits_for) for task in store.list() if not task.finished])


def running(store: Store) -> int:
    return sum(task.state == "running" for task in store.list())


def each_command(reached: Callable[[int], bool]) -> None:
    """Try this with every command of an operation, the first to the last; whether it came so far."""
    for number in range(1, ENOUGH):
        if not reached(number):
            assert number > 1, "it has a command"
            return
    raise AssertionError("it never came to its end")


def once(number: int, act: Callable[[], object]) -> tuple[Meddler, list[bool]]:
    """Do this before the command of that number: what a frozen process does not see."""
    came: list[bool] = []

    def before(count: int) -> None:
        if count == number:
            came.append(True)
            act()

    return Meddler(before), came


def test_a_claim_that_parks_for_a_pause_is_killed_at_any_command(make: Callable[[], Store], target: Target) -> None:
    def reached(number: int) -> bool:
        store = paused(make, target)
        killed = killed_at(store, number, claim(store))
        assert all(task.key == "other" for task in store.list() if task.state == "running")
        store.run(resumed(store, target))
        assert sorted(drained(store)) == ["acme-0", "acme-1", "acme-2", "other"]
        return killed

    each_command(reached)


def test_a_resume_that_is_killed_at_any_command_is_made_again_or_finished_by_a_sweep(
    make: Callable[[], Store], target: Target
) -> None:
    def reached(number: int) -> bool:
        store = paused(make, target)
        store.run(claim(store))
        killed = killed_at(store, number, resumed(store, target))
        if any(pause.target == target for pause in store.run(orders.read(store.context)).pauses):
            assert store.run(orders.resume(store.context, target))
            store.run(orders.read(store.context))
        assert {"acme-0", "acme-1", "acme-2"} <= set(drained(store))
        return killed

    each_command(reached)


def test_a_resume_at_any_command_of_the_claim_that_parks_leaves_nothing_behind(
    make: Callable[[], Store], target: Target
) -> None:
    def reached(number: int) -> bool:
        store = paused(make, target)
        meddle, came = once(number, lambda: store.run(resumed(store, target)))
        store.run(meddle(claim(store)))
        if came:
            assert store.collection.count_documents({"state": "parked"}) == 0, f"at command {number}, without a sweep"
        return bool(came)

    each_command(reached)


def test_a_sweep_of_limits_that_is_killed_at_any_command_is_made_again(make: Callable[[], Store]) -> None:
    def reached(number: int) -> bool:
        store = limited(make)
        held = store.run(claim(store)).tasks
        store.collection.update_many({"state": "running"}, {"$set": {"state": "completed"}, "$unset": {"slots": ""}})
        killed = killed_at(store, number, sweep_limits(store.context))
        swept(store)
        assert len(held) == len(store.run(claim(store)).tasks) == MOST
        return killed

    each_command(reached)


def test_a_sweep_of_limits_that_freezes_at_any_command_lets_no_one_too_many_go(make: Callable[[], Store]) -> None:
    def reached(number: int) -> bool:
        store = limited(make)
        first = store.run(claim(store)).tasks

        def others() -> None:
            store.end(first[0], Returned(None))
            swept(store)
            store.run(claim(store))

        meddle, came = once(number, others)
        store.run(meddle(sweep_limits(store.context)))
        store.run(claim(store))
        assert running(store) <= MOST
        if came:
            assert len(drained(store)) <= 6
        return bool(came)

    each_command(reached)


def test_a_release_of_children_that_freezes_at_any_command_makes_none_ready_twice(make: Callable[[], Store]) -> None:
    def reached(number: int) -> bool:
        store = make()
        store.new(key="a")
        (parent,) = store.run(claim(store)).tasks
        for key in ("b", "c"):
            store.new(key=key, after=["a"])

        def others() -> None:
            store.run(release.settle(store.context))
            for child in store.run(claim(store)).tasks:
                store.end(child, Returned(None))

        meddle, came = once(number, others)
        store.run(meddle(finish.settle(store.context, [parent], Returned(None), "w")))
        drained(store)
        assert [store.document(key)["attempts"] for key in "abc"] == [1, 1, 1], f"at command {number}"
        return bool(came)

    each_command(reached)


def test_a_producer_that_is_killed_at_any_command_of_a_new_member_holds_up_no_batch(make: Callable[[], Store]) -> None:
    def reached(number: int) -> bool:
        store = make()
        key = store.run(batches.open_batch(store.context, NewTask(), THEN, None, within=False))
        store.new(key="first", batch=key)
        store.run(batches.close(store.context, key))
        killed = killed_at(store, number, enqueue.new(store.context, NewTask(key="late", batch=key)))
        members = store.collection.count_documents({"batch": key})
        assert drained(store).count(key) == 1
        assert store.document(key)["payload"]["completed"] == members
        return killed

    each_command(reached)


def test_a_member_that_comes_after_the_close_is_counted_though_a_look_was_frozen(
    make: Callable[[], Store],
) -> None:
    def reached(number: int) -> bool:
        store = make()
        key = store.run(batches.open_batch(store.context, NewTask(), THEN, None, within=False))
        store.new(key="first", batch=key)
        store.run(batches.close(store.context, key))
        (first,) = store.run(claim(store)).tasks

        def others() -> None:
            store.new(key="late", batch=key)
            store.end(first, Returned(None))
            store.run(calling.look(store.context, [key]))

        meddle, came = once(number, others)
        store.run(meddle(calling.look(store.context, [key])))
        if came:
            assert store.get(key).state == "parked", f"at command {number}"
            assert drained(store)[-1] == key
            assert store.document(key)["payload"]["completed"] == 2
        return bool(came)

    each_command(reached)
