"""What `mongoq doctor` says of facts that are planted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from mongoq import NewTask, Queue, Schedule
from mongoq.cli.doctor import of_schedules
from mongoq.testing import memory_queue


@pytest.fixture
def queue() -> Iterator[Queue]:
    with memory_queue() as queue:
        yield queue


@pytest.fixture
def schedule(queue: Queue) -> Schedule:
    queue.schedule("nightly", "0 3 * * *", NewTask())
    [schedule] = queue.schedules()
    return schedule


def test_a_schedule_whose_tick_is_due_for_long_is_late(queue: Queue, schedule: Schedule) -> None:
    now = queue.time()
    [found] = of_schedules([replace(schedule, next_at=now - timedelta(minutes=5))], now)
    assert (found.about, found.problem) == ("the schedule nightly", "its tick has been due for 5m 00s")
    assert "start a worker" in found.advice
    assert not found.wanted
    assert not list(of_schedules([replace(schedule, next_at=now - timedelta(seconds=60))], now))


def test_a_schedule_that_is_paused_or_waits_for_its_tick_is_fine(queue: Queue, schedule: Schedule) -> None:
    now = queue.time()
    paused = replace(schedule, next_at=None, paused_at=now, reason="deploy")
    assert not list(of_schedules([schedule, paused], now))


def test_a_schedule_that_cannot_enqueue_tells_why(queue: Queue, schedule: Schedule) -> None:
    [found] = of_schedules([replace(schedule, reason="it is too large")], queue.time())
    assert found.problem == "its last tick could not be enqueued: it is too large"
