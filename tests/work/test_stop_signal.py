"""`Stop` ends the worker whose handler raised it: in every executor, by every way to run one, and in both tempos."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mongoq import Queue, Stop, Task, TaskState


@pytest.fixture
def queue(make_queue: Callable[..., Queue]) -> Queue:
    return make_queue(workers=2, grace=20)


def stopping(task: Task) -> None:
    raise Stop("the disk is full")


def check_released(queue: Queue, key: str) -> None:
    """The task is as it was, its attempt not charged; its note says why."""
    task = queue.get(key)
    assert (task.state, task.charged, task.retries, task.errors) == (TaskState.READY, 0, 0, ())
    assert task.note == "the disk is full"


def test_stop_ends_run_with_its_error_and_releases_the_task(queue: Queue, run: Any) -> None:
    queue.new({"stops": True}, key="a", priority=1)
    queue.new_many([{}] * 5)
    with pytest.raises(Stop, match="the disk is full") as caught:
        run(queue, "stops", burst=False)
    assert str(caught.value.__cause__).endswith("no space left")
    check_released(queue, "a")
    assert queue.count(state="running") == 0


def test_stop_ends_run_once_with_its_error(queue: Queue) -> None:
    queue.new(key="a")
    with pytest.raises(Stop, match="the disk is full"):
        queue.run_once(stopping)
    check_released(queue, "a")


def test_a_handle_tells_the_stop_that_ended_its_worker(queue: Queue) -> None:
    queue.new(key="a")
    handle = queue.start(stopping)
    assert handle.wait(60)
    assert isinstance(handle.error, Stop)
    check_released(queue, "a")


def test_handlers_that_run_may_end_where_another_stops_the_worker(queue: Queue, gate: Any) -> None:
    queue.new(key="slow", priority=1)
    queue.new(key="a")

    def work(task: Task) -> None:
        if task.key == "slow":
            gate(task)
        else:
            try:
                raise Stop("the disk is full")
            finally:
                gate.opened.set()

    with pytest.raises(Stop):
        queue.run(work)
    assert queue.get("slow").state is TaskState.COMPLETED
    check_released(queue, "a")


def test_a_stop_beside_other_signals_of_a_group_stops_the_worker(queue: Queue) -> None:
    queue.new(key="a")

    def work(task: Task) -> None:
        raise ExceptionGroup("both", [ValueError("no"), Stop("the disk is full")])

    with pytest.raises(Stop):
        queue.run(work)
    check_released(queue, "a")
