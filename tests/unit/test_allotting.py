"""Which tasks get which slots: those that share one run one after the other, and the last of them holds it."""

from __future__ import annotations

from typing import Any

import pytest

from mongoq.storage.operations.limits.allotting import Terms, allot


def tasks(count: int, group: str = "x", **more: Any) -> list[tuple[dict[str, Any], list[str]]]:
    return [({"_id": f"{group}{number}", **more}, [group]) for number in range(count)]


def slots(count: int, group: str = "x") -> dict[str, list[str]]:
    return {group: [f"{group}/{number:05}" for number in range(count)]}


def shared(in_turn: int, **more: Any) -> Terms:
    return Terms(most=100, in_turn=in_turn, **more)


def test_as_many_tasks_share_slots_as_run_one_after_the_other() -> None:
    got = allot(tasks(20), slots(2), {}, shared(4))
    assert sum(grant.shares for grant in got.grants.values()) == 6
    held = [slot for grant in got.grants.values() for slot in grant.slots]
    assert sorted(held) == slots(2)["x"], "each slot is given once"
    assert len(got.full["x"]) == 12


def test_each_chain_has_a_task_with_its_slot() -> None:
    got = allot([*tasks(3, "x"), *tasks(3, "y")], slots(1, "x") | slots(1, "y"), {}, shared(8))
    assert [bool(got.grants[f"{group}2"].slots) for group in "xy"] == [True, True]
    assert [got.grants[f"{group}{number}"].shares for group in "xy" for number in (0, 1)] == [True] * 4


@pytest.mark.parametrize(
    "more", [{"line": "x"}, {"policy": {"lease": 60}}, {"lost_leases": 1}, {"policy": "unreadable"}], ids=str
)
def test_a_task_of_a_line_or_with_a_lease_of_its_own_or_after_a_lost_one_shares_no_slot(more: dict[str, Any]) -> None:
    got = allot(tasks(4, **more), slots(2), {}, shared(8))
    assert not any(grant.shares for grant in got.grants.values())
    assert len(got.grants) == 2


def test_what_would_take_more_scarce_slots_than_there_are_handlers_is_left_for_others() -> None:
    several = [*tasks(3, "x"), *tasks(3, "y"), *tasks(3, "z")]
    got = allot(several, slots(2, "x") | slots(2, "y") | slots(2, "z"), {}, shared(2, at_once=3))
    assert sum(len(grant.slots) for grant in got.grants.values()) == 3
    assert (len(got.grants), got.left, dict(got.full)) == (5, 4, {})
