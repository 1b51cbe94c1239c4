"""Children that are replaced between two tasks, after so many of them or beyond so much memory."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from mongoq import ConfigurationError, Queue, TaskState
from mongoq.worker.executors.children.wear import memory_of

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


def run(queue: Queue, handler: Callable[..., Any], **options: Any) -> None:
    queue.run(handler, executor="processes", burst=True, **{"workers": 1, **options})


def pids(queue: Queue) -> Counter[int]:
    tasks = queue.tasks()
    assert {(task.state, task.charged, task.retries) for task in tasks} == {(TaskState.COMPLETED, 1, 0)}
    return Counter(task.result for task in tasks)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_child_is_replaced_after_so_many_tasks_and_none_is_charged_twice(
    queue: Queue, handlers: Any, workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mongoq.worker")
    queue.new_many([{"bytes": 1}] * 22)
    run(queue, handlers.grows, max_tasks_per_child=5, workers=workers)
    ran = pids(queue)
    assert max(ran.values()) <= 5
    assert len(ran) >= 5
    told = [line.getMessage() for line in caplog.records if "is replaced" in line.getMessage()]
    assert len(told) >= 4
    assert "it was given 5 tasks" in told[0]


def test_a_child_is_replaced_where_it_has_too_much_memory(queue: Queue, handlers: Any) -> None:
    assert memory_of(os.getpid()) is not None
    queue.new_many([{"bytes": 100 * 2**20}] * 6)  # a fresh child has some 60 MB
    run(queue, handlers.grows, max_memory_per_child=250 * 2**20)
    ran = pids(queue)
    assert len(ran) > 1
    assert max(ran.values()) < 6


def test_a_child_below_its_limits_is_kept(queue: Queue, handlers: Any) -> None:
    queue.new_many([{"bytes": 1}] * 20)
    run(queue, handlers.grows, max_tasks_per_child=1_000, max_memory_per_child=2**40)
    assert len(pids(queue)) == 1


@pytest.mark.parametrize("limit", [{"max_tasks_per_child": 1}, {"max_memory_per_child": 2**20}], ids=str)
def test_a_child_for_each_task(queue: Queue, handlers: Any, limit: dict[str, int]) -> None:
    queue.new_many([{"bytes": 1}] * 3)
    run(queue, handlers.grows, **limit)
    assert pids(queue)


@pytest.mark.parametrize(
    "options, named",
    [
        ({"max_tasks_per_child": 0}, "max_tasks_per_child: 0"),
        ({"max_memory_per_child": 1_000}, "max_memory_per_child: 1000"),
        ({"executor": "threads", "max_tasks_per_child": 5}, "max_tasks_per_child: 5 is not an option of executor"),
    ],
)
def test_limits_that_make_no_sense_are_refused(queue: Queue, options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        queue.run(print, **{"executor": "processes", "burst": True, **options})
