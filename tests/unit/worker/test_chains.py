"""Tasks that share slots of limits: never more of them at once than they have slots, whoever ends first."""

from __future__ import annotations

import random
from typing import Any

import pytest

from mongoq.worker.limits.chains import Chains, link


class Attempt:
    def __init__(self, slots: tuple[str, ...]) -> None:
        self.slots = slots
        self.chain = None
        self.open = True


def made(followers: int, holders: int) -> list[Any]:
    """Attempts of one claim: those without a slot before those with one."""
    return [Attempt(()) for _ in range(followers)] + [Attempt((f"g/{number:05}",)) for number in range(holders)]


def begun(chains: Chains, attempts: list[Any]) -> tuple[list[Any], list[Any]]:
    link(attempts, [("token", "g")] * len(attempts))
    return chains.begin(attempts)


def test_as_many_run_at_once_as_have_slots_and_those_with_slots_last() -> None:
    chains, attempts = Chains(), made(4, 2)
    running, back = begun(chains, attempts)
    order = [*running]
    assert not back
    while running:
        assert len(running) <= sum(bool(one.slots) and one.open for one in attempts)
        running[0].open = False
        ready, back = chains.leave(running.pop(0))
        assert not back
        order += ready
        running += ready
    assert order == attempts


def test_tasks_with_slots_of_their_own_are_no_chain() -> None:
    attempts = made(0, 3)
    assert begun(Chains(), attempts) == (attempts, [])
    assert [one.chain for one in attempts] == [None] * 3


def test_followers_whose_slot_another_has_taken_are_given_back() -> None:
    attempts = made(3, 0)
    assert begun(Chains(), attempts) == ([], attempts)


def test_a_slot_stays_for_a_follower_that_runs_when_the_rest_is_given_back() -> None:
    chains, attempts = Chains(), made(3, 2)
    running, _ = begun(chains, attempts)
    back = chains.close([running[1]])  # it waited for a handler still
    assert set(back) == {attempts[1], attempts[2], attempts[4]}
    attempts[0].open = False
    assert chains.leave(attempts[0]) == ([], [attempts[3]])


def test_followers_behind_one_that_takes_long_are_given_back() -> None:
    chains, attempts = Chains(), made(3, 1)
    begun(chains, attempts)
    late = attempts[0].chain.moved_at + 1.5
    assert chains.stalled(late, 2.0) == []
    assert chains.stalled(late, 1.0) == attempts[1:3]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_ends_or_is_lost_no_more_run_than_have_slots(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 -- no secret
    chains, attempts = Chains(), made(chance.randrange(1, 12), chance.randrange(1, 4))
    running, back = begun(chains, attempts)
    given: list[Any] = [*back]
    while running:
        lost = [one for one in attempts if one.open and one not in running and one not in given and one.slots]
        if lost and chance.random() < 0.1:  # its lease is over before it has started
            lost[0].open = False
            ready, back = chains.leave(lost[0])
        else:
            one = running.pop(chance.randrange(len(running)))
            one.open = False
            ready, back = chains.leave(one)
        started_now = len(ready)
        running += ready
        given += back
        slots = sum(bool(one.slots) and one.open and one not in given for one in attempts)
        assert not started_now or len(running) <= slots
    assert all(not one.open or one in given for one in attempts), "nobody is left behind"
