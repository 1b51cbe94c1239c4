from __future__ import annotations

import pytest

from mongoq.work.prefetch import MOST_AHEAD, Prefetch


def after(*seconds: float) -> Prefetch:
    prefetch = Prefetch()
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
