"""Rate limits: how many tasks of a group start in a stretch of time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from mongoq import ConfigurationError, LimitNotFound
from mongoq.core.clock import FrozenClock
from proving.tempos import Face


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def timed(make: Callable[..., Face], clock: FrozenClock) -> Face:
    return make(clock=clock)


def count(queue: Face) -> int:
    return len(queue.claim_many(100))


def test_tasks_start_at_the_rate_of_their_limit(timed: Face, clock: FrozenClock) -> None:
    timed.limit("stripe", rate=10)
    timed.new_many(({"n": n} for n in range(30)), limits="stripe")
    started = 0
    for _ in range(20):
        started += count(timed)
        assert count(timed) == 0
        clock.advance(0.1)
    assert started == 20
    clock.advance(60)
    assert count(timed) == 1, "what was not used in a pause is not saved up"


def test_a_burst_is_what_may_start_together_after_a_pause(timed: Face, clock: FrozenClock) -> None:
    timed.limit("stripe", rate=60, per=timedelta(minutes=1), burst=5)
    timed.new_many(({"n": n} for n in range(30)), limits="stripe")
    assert count(timed) == 5
    clock.advance(1)
    assert count(timed) == 1
    clock.advance(60)
    assert count(timed) == 5


def test_each_value_of_a_tag_has_a_rate_of_its_own_and_a_task_its_weight(timed: Face, clock: FrozenClock) -> None:
    timed.limit("host", rate=1, by="host", burst=2)
    timed.new({"host": "a"}, limits={"host": 2})
    for host in "aab":
        timed.new({"host": host}, limits="host")
    assert sorted(task.tags["host"] for task in timed.claim_many(10)) == ["a", "b"]
    assert count(timed) == 0
    clock.advance(1)
    assert count(timed) == 1
    state = {group.value: (group.waiting, group.next_at) for group in timed.limit_state("host")}
    assert state["a"] == (1, clock.now() + timedelta(seconds=1))


def test_a_limit_may_have_a_rate_and_a_concurrency(timed: Face, clock: FrozenClock) -> None:
    timed.limit("stripe", rate=1, burst=3, concurrency=2)
    timed.new_many(({"n": n} for n in range(9)), limits="stripe")
    first = timed.claim_many(10)
    assert len(first) == 2
    clock.advance(10)
    assert count(timed) == 0
    timed.complete(first)
    assert count(timed) == 2


def test_starts_are_taken_from_outside_of_tasks(timed: Face, clock: FrozenClock) -> None:
    timed.limit("stripe", rate=10, burst=3)
    assert timed.consume("stripe", 2)
    assert timed.consume("stripe")
    assert not timed.consume("stripe")
    timed.new({"n": 1}, limits="stripe")
    assert count(timed) == 0
    clock.advance(0.1)
    assert count(timed) == 1
    timed.limit("host", rate=1, by="host")
    assert timed.consume("host", value="a")
    assert not timed.consume("host", value="a")
    assert timed.consume("host", value="b")
    timed.limit("tenant", concurrency=1)
    with pytest.raises(ConfigurationError, match="rate"):
        timed.consume("tenant")
    with pytest.raises(LimitNotFound):
        timed.consume("nobody")


def test_who_consumes_waits_for_its_instant(queue: Face) -> None:
    queue.limit("stripe", rate=20)
    assert queue.consume("stripe")
    assert not queue.consume("stripe", wait=0.001)
    began = time.monotonic()
    assert queue.consume("stripe", wait=30)
    assert queue.consume("stripe", wait=None)
    assert time.monotonic() - began >= 0.05


def test_what_is_wrong_with_a_rate_is_told(queue: Face) -> None:
    for options in ({"rate": 0}, {"rate": 1, "per": 0}, {"rate": 1, "burst": 0}, {"concurrency": 1, "burst": 2}):
        with pytest.raises(ConfigurationError):
            queue.limit("stripe", **options)
    assert queue.limits() == []


def test_workers_start_tasks_at_the_rate_and_each_once(queue: Face) -> None:
    queue.limit("stripe", rate=100)
    instants: list[float] = []
    lock = threading.Lock()

    def handler(task: Any) -> None:
        with lock:
            instants.append(time.monotonic())

    queue.new_many(({"n": n} for n in range(30)), limits="stripe")
    queue.run(handler, burst=True, workers=4)
    assert queue.empty()
    assert len(instants) == 30
    assert max(instants) - min(instants) >= 0.29 - 0.06, "the first may be late by as much as a start may be"
