"""How long the least urgent task waits at most, with a fair share or aging, however many urgent ones come."""

from __future__ import annotations

import itertools
import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoq import ConfigurationError, NewTask, Queue
from mongoq.core.clock import FrozenClock
from mongoq.testing import memory_queue


def flooded(clock: FrozenClock, **options: Any) -> Queue:
    """A queue where 5 tasks of priority 0 stand before urgent ones, of which more come than can be claimed."""
    queue = memory_queue(clock=clock, keep_completed=0, **options)
    for number in range(5):
        queue.new(key=f"old-{number}")
        clock.advance(1)
    queue.new_many(NewTask(priority=5) for _ in range(10))
    return queue


def claimed(queue: Queue, size: int) -> list[str]:
    tasks = queue.claim_many(size)
    for task in tasks:
        queue.complete(task)
        queue.new(priority=5)
    return [task.key for task in tasks]


@settings(max_examples=6, deadline=None)
@given(share=st.sampled_from([0.1, 0.25, 0.5, 1.0]), sizes=st.lists(st.integers(1, 8), min_size=1, max_size=4))
def test_a_task_waits_no_longer_than_the_older_ones_take_of_a_fair_share(share: float, sizes: list[int]) -> None:
    queue = flooded(FrozenClock(), fair_share=share)
    ran: list[str] = []
    for size in itertools.cycle(sizes):
        ran += claimed(queue, size)
        if len(ran) >= 5 / share + size:
            break
    for number in range(5):
        assert ran.index(f"old-{number}") <= math.ceil((number + 1) / share) + max(sizes), (number, ran)


@settings(max_examples=6, deadline=None)
@given(aging=st.integers(1, 4), size=st.integers(2, 8), step=st.integers(1, 3))
def test_a_task_that_has_aged_to_the_highest_priority_stands_before_all_that_come(
    aging: int, size: int, step: int
) -> None:
    clock = FrozenClock()
    queue = flooded(clock, aging=aging)
    began, ran = clock.now(), set[str]()
    while len(ran) < 5:
        ran |= {key for key in claimed(queue, size) if key.startswith("old")}
        clock.advance(step)
        waited = clock.now() - began
        # Six levels on, each stands before whatever comes; those that came before it, ten and five, are claimed first.
        assert waited <= timedelta(seconds=6 * aging + 1 + 16 * step), (waited, ran)


def test_strict_priorities_are_the_default() -> None:
    queue = flooded(FrozenClock())
    assert not any(key.startswith("old") for _ in range(5) for key in claimed(queue, 5))


def test_aging_leaves_the_order_alone_until_somebody_has_waited() -> None:
    clock = FrozenClock()
    queue = memory_queue(clock=clock, aging=60)
    for priority in (1, 3, 2):
        queue.new(key=str(priority), priority=priority)
    clock.advance(59)
    assert [task.key for task in queue.claim_many(2)] == ["3", "2"]


@pytest.mark.parametrize("given", [{"fair_share": 0}, {"fair_share": 1.5}, {"fair_share": True}, {"aging": 0.5}])
def test_a_share_and_a_time_that_make_no_sense_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(given))):
        memory_queue(**given)
