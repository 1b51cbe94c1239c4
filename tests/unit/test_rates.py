"""The arithmetic of rate limits: never too many starts in any stretch."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest

from mongoq.limiting.limit import Limit
from mongoq.storage.documents.limiting import rates

SECOND = 10**9


def most_within(instants: list[int], length: int) -> int:
    instants = sorted(instants)
    most = first = 0
    for last, at in enumerate(instants):
        while instants[first] <= at - length:
            first += 1
        most = max(most, last - first + 1)
    return most


@pytest.mark.parametrize("seed", range(20))
def test_no_stretch_has_more_starts_than_rate_and_burst_allow(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 -- no secret
    limit = Limit("x", rate=chance.choice([3, 10, 1000]), burst=chance.choice([1, 1, 4]), per=timedelta(seconds=2))
    document: Any = None
    used: list[int] = []
    now = 1_000 * SECOND
    for _ in range(400):
        now += chance.randrange(0, SECOND // 5) * chance.choice([0, 1, 1, 8])
        told = rates.tell(limit, document, [1] * chance.randrange(1, 30), now, now + chance.randrange(0, SECOND))
        document = told.document
        assert all(one.at >= now for one in told.starts)
        unused = [one for one in told.starts if chance.random() < 0.3]
        used += [one.at for one in told.starts if one not in unused]
        document = rates.given_back(document, unused, now + chance.randrange(0, SECOND // 2))
    assert most_within(used, 2 * SECOND) <= limit.rate + limit.burst - 1  # type: ignore[operator]


def test_what_is_taken_at_once_is_as_much_as_the_rate_says() -> None:
    limit = Limit("x", rate=100)
    told = rates.tell(limit, None, [1] * 1000, 0, SECOND - 1)
    assert [one.at for one in told.starts] == [number * SECOND // 100 for number in range(100)]


def test_a_start_that_is_given_back_is_told_again_and_one_that_has_passed_is_not() -> None:
    limit = Limit("x", rate=1)
    told = rates.tell(limit, None, [1, 1, 1], 0, 10 * SECOND)
    document = rates.given_back(told.document, told.starts[:2], SECOND // 2)
    assert [one.at for one in rates.tell(limit, document, [1, 1], SECOND // 2, 10 * SECOND).starts] == [
        SECOND, 3 * SECOND,
    ]  # fmt: skip


def test_a_weight_moves_the_next_start_by_as_many_intervals() -> None:
    limit = Limit("x", rate=10, burst=5)
    told = rates.tell(limit, None, [5, 1, 3], 0, 10 * SECOND)
    assert [one.at for one in told.starts] == [0, SECOND // 10, SECOND * 4 // 10]
    heavy = rates.tell(limit, told.document, [20, 1], SECOND, 10 * SECOND)
    assert [one.at for one in heavy.starts] == [SECOND, SECOND * 26 // 10]


def test_a_clock_that_is_behind_tells_no_start_twice() -> None:
    limit = Limit("x", rate=10)
    first = rates.tell(limit, None, [1], 5 * SECOND, 5 * SECOND)
    assert rates.tell(limit, first.document, [1], 4 * SECOND, 5 * SECOND).starts == []
