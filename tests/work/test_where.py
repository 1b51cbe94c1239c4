"""Workers that take only tasks with some tags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mongoq import ConfigurationError, Queue, Task

ACME = {"tenant": "acme"}


def test_a_worker_by_tags_runs_only_tasks_that_have_them(queue: Queue) -> None:
    queue.new_many([{"tenant": "other"}] * 50, priority=9)
    queue.new_many([{"tenant": "acme", "n": n} for n in range(20)])
    seen: list[Task] = []
    queue.run(seen.append, where=ACME, burst=True)
    assert sorted(task.tags["n"] for task in seen) == list(range(20))
    assert queue.stats()["default"].ready == 50


def test_a_burst_by_tags_waits_for_what_falls_due_and_ends_beside_others_that_do(
    queue: Queue, until: Callable[..., None]
) -> None:
    queue.new({"tenant": "other"}, delay=0.05)
    due = queue.new(ACME, delay=0.05).run_at
    until(lambda: queue.time() >= due, why="both are due")
    seen: list[Task] = []
    queue.run(seen.append, where=ACME, burst=True)
    assert len(seen) == 1


def test_run_once_says_whether_more_is_ready_that_has_the_tags(queue: Queue) -> None:
    queue.new_many([{"tenant": "other"}] * 3)
    queue.new_many([ACME] * 3)
    assert queue.run_once(lambda task: None, where=ACME, limit=2)
    assert not queue.run_once(lambda task: None, where=ACME, limit=2)
    assert queue.run_once(lambda task: None, limit=1)


def test_an_idle_worker_by_tags_hears_of_its_own_tasks_and_not_of_others(
    queue: Queue, make_queue: Callable[..., Queue], events: Any
) -> None:
    producer = make_queue(namespace=queue.namespace)
    queue.start(lambda task: None, where=ACME)
    waits = []
    for number in range(1, 6):
        events.wait("wakeups.watching")
        producer.new_many([{"tenant": "other"}] * 5)
        task = producer.new(ACME)
        started = events.wait("task.started", number)[-1]["task"]
        assert started.key == task.key
        waits.append((started.started_at - task.created_at).total_seconds())
        events.wait("tasks.finished", number)
    assert sorted(waits)[2] < 0.25
    assert queue.stats()["default"].ready == 25


def test_suspects_of_other_tags_do_not_stand_in_the_way(make_queue: Callable[..., Queue]) -> None:
    queue = make_queue(lease=1)
    queue.new_many([ACME] * 20, priority=9)
    queue.claim_many(20)
    queue.new(ACME)
    assert queue.claim(where=ACME, timeout=0) is not None
    seen: list[Task] = []
    assert queue.claim(where={"tenant": "other"}, timeout=0.1) is None
    queue.new({"tenant": "other"})
    queue.run(seen.append, where={"tenant": "other"}, burst=True)
    assert len(seen) == 1


def test_tags_that_no_filter_may_hold_are_refused(queue: Queue) -> None:
    with pytest.raises(ConfigurationError, match="where"):
        queue.run(lambda task: None, where={"n": {"$gt": 1}}, burst=True)
    with pytest.raises(ConfigurationError, match="where"):
        queue.start(lambda task: None, where=["tenant"])  # type: ignore[arg-type]
