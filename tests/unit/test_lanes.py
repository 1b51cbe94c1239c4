"""The simulation of lanes."""

from __future__ import annotations

import pytest

from benchmarks.lanes import CHOICES, simulated


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("batch", [1, 10])
def test_one_lane_is_strict(choice: str, batch: int) -> None:
    error = simulated(1, choice, batch, backlog=200, claims=500)
    assert (error.mean, error.p99) == (0, 0)


def test_more_lanes_are_less_strict() -> None:
    two, many = (simulated(count, "a lane each", 1, backlog=1_000, claims=2_000).mean for count in (2, 32))
    assert 0 < two < many


def test_the_better_of_two_lanes_keeps_closer_to_the_order_of_single_claims() -> None:
    either, better = (
        simulated(16, choice, 1, backlog=1_000, claims=2_000) for choice in ("a random lane", "the better of two")
    )
    assert better.mean < either.mean / 2


def test_it_is_the_same_at_every_run() -> None:
    assert simulated(4, "a random lane", 3, backlog=200, claims=300) == simulated(
        4, "a random lane", 3, backlog=200, claims=300
    )
