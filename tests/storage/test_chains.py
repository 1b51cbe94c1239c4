"""Tasks that share the slots of a limit, where a process is killed at any command, or another comes between any two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from mongoq.core.judging.verdict import MOST_POISON_WEIGHT, Returned, Verdict
from mongoq.core.lifecycle import Event
from mongoq.core.requests import ClaimRequest
from mongoq.limiting.limit import Limit, group_of_slot
from mongoq.storage.commands import Op
from mongoq.storage.documents.unread import Unread
from mongoq.storage.operations import finish, sweep
from mongoq.storage.operations.claiming.claim import Claim, new_token
from mongoq.storage.operations.claiming.many import claim_many
from mongoq.storage.operations.decide import by_hand
from mongoq.storage.operations.limits import keeping
from mongoq.storage.operations.limits.free import Free
from mongoq.storage.operations.limits.room import groups_of_each
from mongoq.storage.operations.limits.serving import serve
from mongoq.worker.limits.chains import Chains, link
from tests.storage.conftest import Store
from tests.storage.meddling import Meddler, killed_at

MOST = 2
TASKS = 20
IN_TURN = 3
MEDDLED = 40


class Attempt:
    """What the chains of a worker know of a claimed task."""

    def __init__(self, claimed: Unread) -> None:
        self.claimed, self.slots, self.open = claimed, claimed.slots, True
        self.chain: Any = None


@pytest.fixture
def shared(make_store: Callable[..., Store]) -> Callable[[], Store]:
    """Give `shared()`: a store with tasks of two groups, of which two run at once."""

    def made() -> Store:
        store = make_store()
        store.run(keeping.put(store.context, Limit("x", MOST, "group", highest=MOST), "test"))
        for number in range(TASKS):
            store.new(key=f"k{number:02}", tags={"group": number % 2}, limits="x")
        return store

    return made


def claim(store: Store, limit: int = 20) -> Op[Claim]:
    wanted = ClaimRequest(("default",), "w", limit, in_turn=IN_TURN, at_once=4, handlers=4)
    return claim_many(store.context, wanted, poison_budget=MOST_POISON_WEIGHT)


def begun(store: Store, claimed: Claim) -> tuple[Chains, list[Any], list[Any]]:
    """What a worker does with a claim: its chains, those that it starts, and those that it gives back."""
    attempts: list[Any] = [Attempt(one) for one in claimed.unread]
    groups = groups_of_each(store.context, [one.document for one in claimed.unread])
    kinds = [(one.token or "", *own) for one, own in zip(claimed.unread, groups, strict=True)]
    link(attempts, [kind if one.shares or one.slots else None for one, kind in zip(claimed.unread, kinds, strict=True)])
    chains = Chains()
    return (chains, *chains.begin(attempts))


def running(*started: Any) -> Counter[Any]:
    """How many handlers of each group run."""
    return Counter(one.claimed.read().tags["group"] for some in started for one in some)


def held(store: Store) -> Counter[Any]:
    """How many slots of each group are in use."""
    rows = store.collection.find({"state": "running", "hold.slots": {"$exists": True}})
    return Counter(group_of_slot(slot) for row in rows for slot in row["hold"]["slots"])


def drained(store: Store) -> list[str]:
    """Let all leases run out and sweep once; then claim and complete what is there, as one worker; all keys."""
    store.clock.advance(61)
    store.run(sweep.rescue(store.context))
    store.run(sweep.look_at_limits(store.context))
    assert not held(store), "no slot is left behind"
    for _ in range(2 * TASKS):
        got = store.run(claim(store))
        chains, started, back = begun(store, got)
        assert not back
        done = 0
        while started:
            assert max(running(started).values()) <= MOST
            attempt = started.pop(0)
            attempt.open = False
            started += chains.leave(attempt)[0] if attempt.chain is not None else []
            done += 1
        assert done == len(got.unread)
        if got.unread:
            store.run(finish.settle(store.context, got.tasks, Returned(None), "w"))
        store.clock.advance(61)  # those whose lease was lost rest for a while
        store.run(sweep.promote(store.context))
        if all(task.finished for task in store.list()):
            return sorted(task.key for task in store.list())
    raise AssertionError([(task.key, str(task.state), task.waits_for) for task in store.list()])


ALL = [f"k{number:02}" for number in range(TASKS)]


def test_one_claim_brings_several_tasks_for_each_slot(shared: Callable[[], Store]) -> None:
    store = shared()
    got = store.run(claim(store))
    _, started, back = begun(store, got)
    assert (len(got.unread), back) == (2 * MOST * IN_TURN, [])
    assert held(store) == {"x:0": MOST, "x:1": MOST}
    assert running(started) == {0: MOST, 1: MOST}


def test_a_claim_that_is_killed_at_any_command_leaves_no_slot_and_nobody_behind(shared: Callable[[], Store]) -> None:
    for number in range(1, MEDDLED):
        store = shared()
        reached = killed_at(store, number, claim(store))
        assert all(count <= MOST for count in held(store).values())
        assert drained(store) == ALL
        if not reached:
            return
    raise AssertionError("it never came to its end")


def test_two_claims_never_start_one_too_many_wherever_the_other_comes_between(shared: Callable[[], Store]) -> None:
    for number in range(1, MEDDLED):
        store = shared()
        others: list[Any] = []

        def other(count: int, number: int = number, store: Store = store, others: list[Any] = others) -> None:
            if count == number:
                others.append(begun(store, store.run(claim(store, 5))))

        _, started, back = begun(store, store.run(Meddler(other)(claim(store))))
        both = running(started, *(theirs for _, theirs, _ in others))
        assert all(count <= MOST for count in both.values()), number
        assert not {one.claimed.key for one in started} & {one.claimed.key for one in back}
        assert drained(store) == ALL
        if not others:
            return
    raise AssertionError("it never came to its end")


def ended(store: Store) -> Free:
    """End all tasks of one group that run; the slots that came free, for which others are parked."""
    got = store.run(claim(store))
    own = [one for one in got.unread if one.read().tags["group"] == 0]
    endings = [by_hand(store.context, one.read(), Verdict(Event.COMPLETE, keep=timedelta(days=1))) for one in own]
    store.run(finish.finish(store.context, endings, hands_over=True))
    assert store.run(claim(store)).unread == [], "the others are parked"
    return Free({"x:0": [slot for one in own for slot in one.slots]}, {})


def serving(store: Store, free: Free) -> Op[Claim]:
    return serve(store.context, ClaimRequest(("default",), "w", 10, in_turn=IN_TURN), free, token=new_token())


def test_slots_that_came_free_are_given_to_several_parked_tasks_each(shared: Callable[[], Store]) -> None:
    store = shared()
    free = ended(store)
    got = store.run(serving(store, free))
    _, started, back = begun(store, got)
    assert (len(got.unread), len(started), back) == (TASKS // 2 - MOST * IN_TURN, MOST, [])
    assert held(store) == {"x:0": MOST, "x:1": MOST}


def test_who_gives_slots_to_parked_tasks_and_is_killed_leaves_nobody_behind(shared: Callable[[], Store]) -> None:
    for number in range(1, MEDDLED):
        store = shared()
        reached = killed_at(store, number, serving(store, ended(store)))
        assert all(count <= MOST for count in held(store).values())
        assert drained(store) == ALL
        if not reached:
            return
    raise AssertionError("it never came to its end")


def test_who_gives_slots_away_that_another_took_meanwhile_starts_none_too_many(shared: Callable[[], Store]) -> None:
    for number in range(1, MEDDLED):
        store = shared()
        free = ended(store)
        others: list[Any] = []

        def other(count: int, number: int = number, store: Store = store, others: list[Any] = others) -> None:
            if count == number:
                store.new(key=f"n{number}", tags={"group": 0}, limits="x", priority=1)
                others.append(begun(store, store.run(claim(store))))

        _, started, back = begun(store, store.run(Meddler(other)(serving(store, free))))
        both = running(started, *(theirs for _, theirs, _ in others))
        assert both[0] <= MOST, number
        assert not {one.claimed.key for one in started} & {one.claimed.key for one in back}
        if not others:
            return
        assert drained(store) == [*ALL, f"n{number}"]
    raise AssertionError("it never came to its end")
