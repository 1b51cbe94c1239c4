"""Who of the idle processes watches, and who is called: the rules, without a server."""

from __future__ import annotations

import pytest

from mongoq.core.fleet import (
    LAST_PLACE,
    WATCHERS,
    Idle,
    chosen,
    covered,
    deputy,
    first_to_watch,
    new_place,
    sleepers,
    turn,
)


def idle(place: int, *, watching: bool = False, workers: int = 1, **more: tuple[str, ...]) -> Idle:
    return Idle(f"w{place}", place, more.pop("queues", ("default",)), workers, watching=watching, **more)


def places(found: list[Idle]) -> list[int]:
    return [one.place for one in found]


def test_those_that_watch_go_on_and_others_follow_by_their_places() -> None:
    fleet = [idle(2), idle(1), idle(9, watching=True)]
    assert places(first_to_watch(fleet)) == [9]
    assert deputy(fleet) == idle(1)
    assert places(sleepers(fleet)) == [1, 2]


def test_of_too_many_watchers_the_last_ones_sleep() -> None:
    fleet = [idle(place, watching=True) for place in (5, 3, 8, 1)]
    assert places(first_to_watch(fleet)) == [1]
    assert places(sleepers(fleet)) == [3, 5, 8]


def test_few_idle_processes_all_watch() -> None:
    fleet = [idle(place) for place in range(WATCHERS)]
    assert first_to_watch(fleet) == fleet
    assert sleepers(fleet) == []
    assert deputy(fleet) is None


def test_a_queue_is_covered_by_the_watchers_that_take_it_or_hear_of_it() -> None:
    watchers = [idle(1, queues=("a",)), idle(2, queues=("b",), covers=("c",))]
    assert covered(("a", "b", "c"), watchers)
    assert not covered(("a", "d"), watchers)


def test_each_task_has_an_order_of_its_own_among_the_watchers() -> None:
    watchers = ["w1", "w2", "w3"]
    orders = {tuple(turn(worker, f"k{number}", watchers) for worker in watchers) for number in range(100)}
    assert all(sorted(order) == [0, 1, 2] for order in orders), "each turn belongs to one"
    assert len(orders) == 6, "all orders occur"


@pytest.mark.parametrize(
    "need, after, runs",
    [
        (1, -1, [[0]]),
        (4, -1, [[0, 10]]),
        (5, -1, [[0, 10, 20]]),
        (3, 20, [[30], [0]]),
        (2, 10, [[20]]),
        (100, 10, [[20, 30], [0, 10]]),
        (0, -1, []),
    ],
)
def test_as_many_are_called_as_have_room_for_the_tasks_beginning_behind_the_last_one(
    need: int, after: int, runs: list[list[int]]
) -> None:
    sleeping = [idle(place, workers=2) for place in (0, 10, 20, 30)]
    assert [places(run) for run in chosen(sleeping, after, need)] == runs


def test_places_are_random_and_in_range() -> None:
    made = {new_place() for _ in range(50)}
    assert len(made) > 45
    assert all(0 <= place <= LAST_PLACE for place in made)
