"""The simulation of claimers that share a queue."""

from __future__ import annotations

import random

from benchmarks.meeting import lost


def test_one_claimer_loses_nothing() -> None:
    assert lost(1, 20_000) == 0


def test_eight_claimers_lose_less_than_half_a_task_for_each_that_they_get() -> None:
    random.seed(7)
    assert lost(8, 100_000) < 0.5
