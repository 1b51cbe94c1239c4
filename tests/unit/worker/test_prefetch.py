from __future__ import annotations

from typing import NamedTuple

import pytest

from mongoq.worker.services.prefetch import MOST_AHEAD, MOST_BYTES, Prefetch


class Weight(NamedTuple):
    """A task of so many bytes."""

    size: int


def after(*seconds: float, most: int | None = None) -> Prefetch:
    prefetch = Prefetch(most)
    for one in seconds:
        prefetch.ended(one)
    return prefetch


def test_nothing_is_held_ahead_before_anything_was_measured() -> None:
    assert Prefetch().wanted(8) == 0


@pytest.mark.parametrize("seconds", [1.0, 3600.0])
def test_slow_tasks_are_never_held_ahead(seconds: float) -> None:
    assert after(seconds).wanted(8) == 0


@pytest.mark.parametrize("seconds, workers", [(0.11, 8), (0.5, 64), (0.1, 1_000), (3.0, 100)])
def test_no_task_waits_longer_than_a_tenth_of_a_second_for_a_slot(seconds: float, workers: int) -> None:
    ahead = after(seconds).wanted(workers)
    assert ahead * seconds / workers <= 0.1
    assert (ahead + 1) * seconds / workers > 0.1, "there was room for one more"


@pytest.mark.parametrize("seconds, workers, wanted", [(0.05, 1, 2), (0.05, 8, 16), (0.001, 2, 200)])
def test_quick_tasks_are_held_ahead_for_a_tenth_of_a_second_of_work(seconds: float, workers: int, wanted: int) -> None:
    assert after(seconds).wanted(workers) == pytest.approx(wanted, abs=workers)


@pytest.mark.parametrize("seconds", [0.0, 1e-9])
def test_however_quick_the_tasks_not_all_are_hoarded(seconds: float) -> None:
    assert after(seconds).wanted(64) == MOST_AHEAD


def test_one_slow_task_among_quick_ones_does_not_change_much_and_many_do() -> None:
    quick = [0.001] * 200
    assert after(*quick, 0.02).wanted(1) > after(*quick).wanted(1) / 3
    assert after(*quick, *[1.0] * 10).wanted(1) == 0
    assert after(*[1.0] * 10, *[0.001] * 300).wanted(1) > 50


@pytest.mark.parametrize("seconds, wanted", [(1e-6, 7), (0.05, 4), (1.0, 0)])
def test_no_more_is_held_ahead_than_was_asked_for_and_not_more_of_slow_tasks(seconds: float, wanted: int) -> None:
    assert after(seconds, most=7).wanted(2) == wanted
    assert after(seconds, most=0).wanted(2) == 0


def test_more_than_by_default_may_be_asked_for() -> None:
    assert after(1e-6, most=9_000).wanted(8) == 9_000


def test_of_large_tasks_no_more_is_held_ahead_than_fits() -> None:
    prefetch = after(1e-6)
    prefetch.claimed([Weight(500)] * 100, 0)
    assert prefetch.wanted(2) == MOST_AHEAD
    prefetch.claimed([Weight(2**20)], 0)
    assert prefetch.wanted(2) == MOST_BYTES // 2**20


def test_small_tasks_after_large_ones_are_trusted_little_by_little() -> None:
    prefetch = after(1e-6)
    prefetch.claimed([Weight(2**20)], 0)
    wanted = []
    for _ in range(60):
        prefetch.claimed([Weight(100)] * 20, 0)
        wanted.append(prefetch.wanted(2))
    assert wanted == sorted(wanted)
    assert wanted[0] < MOST_AHEAD / 10 < MOST_AHEAD == wanted[-1]


def test_large_tasks_among_many_small_ones_count_by_their_share() -> None:
    prefetch = after(1e-6)
    for _ in range(50):
        prefetch.claimed([Weight(2**20), Weight(100)] * 50, 0)
    assert MOST_BYTES // 2**20 <= prefetch.wanted(2) <= 4 * MOST_BYTES // 2**20


def test_a_claim_is_worth_its_trip_while_what_is_left_lasts_for_twice_its_time() -> None:
    prefetch = after(0.02)
    assert prefetch.enough(2) == prefetch.wanted(2) == 10
    prefetch.claimed([Weight(100)], 0.01)
    assert prefetch.enough(2) == 8
    prefetch.claimed([Weight(100)], 0.5)
    assert prefetch.enough(2) == 5, "half of what may be held"


@pytest.mark.parametrize("prefetch", [Prefetch(), after(1.0), after(1e-6, most=0)])
def test_where_nothing_is_held_ahead_one_free_slot_is_worth_a_claim(prefetch: Prefetch) -> None:
    assert (prefetch.wanted(4), prefetch.enough(4)) == (0, 1)
