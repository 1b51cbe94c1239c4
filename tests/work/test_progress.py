"""Progress and log lines of handlers, on every executor and by hand."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient, monitoring

from mongoq import Attempt, Queue, Task, TaskState
from mongoq.core.clock import elapsed
from mongoq.embedded.server import EmbeddedServer
from mongoq.testing import make_task, perform
from mongoq.worker.services.reporter import EVERY


def lines(task: Task) -> list[str]:
    return [line.text for line in task.progress.log] if task.progress else []


@pytest.mark.parametrize("fails", [False, True], ids=["completes", "fails"])
def test_what_a_handler_says_is_seen_while_it_runs_and_after_its_end(
    queue: Queue, run: Callable[..., None], until: Callable[..., None], tmp_path: Path, fails: bool
) -> None:
    gate = tmp_path / "go on"
    key = queue.new({"go_on": str(gate), "fails": fails}, max_retries=0).key
    worker = threading.Thread(target=run, args=(queue, "says"))
    worker.start()
    try:
        until(lambda: queue.get(key).progress and lines(queue.get(key)), why="it is stored while it runs")
        seen = queue.get(key)
        assert seen.progress is not None
        assert (seen.state, seen.progress.value, seen.progress.message) == (TaskState.RUNNING, 0.4, "rendering")
        assert lines(seen)[0] == "page 1"
    finally:
        gate.touch()
        worker.join(60)
    ended = queue.get(key)
    assert ended.progress is not None
    assert ended.state is (TaskState.FAILED if fails else TaskState.COMPLETED)
    assert (ended.progress.value, ended.progress.message, ended.progress.attempt) == (1, "rendering", 1)
    assert lines(ended) == ["page 1", "page 2", "page 3"]
    assert [task.progress for task in queue.tasks()] == [ended.progress]
    json.dumps(ended.to_dict())
    assert Task.from_dict(ended.to_dict()).progress == ended.progress


class Updates(monitoring.CommandListener):
    """How often an update was sent."""

    def __init__(self) -> None:
        self.count = 0

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.count += event.command_name == "update"

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Not counted."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Not counted."""


def test_a_handler_that_says_much_costs_no_command_for_each_call(server: EmbeddedServer, queue: Queue) -> None:
    updates = Updates()
    took: list[float] = []

    def talk(attempt: Attempt, _: Task) -> None:
        began, before = elapsed(), updates.count
        for n in range(5_000):
            attempt.progress(n / 5_000, "talking")
            attempt.log(f"line {n}")
        took.append(elapsed() - began)
        assert updates.count - before <= 2 * (took[0] / EVERY + 1), "one a moment, beside the heartbeat"

    with MongoClient[dict[str, Any]](server.uri, event_listeners=[updates]) as client:
        talking = Queue(client["mongoq"], namespace=queue.namespace)
        key = talking.new().key
        talking.run(talk, burst=True)
    task = queue.get(key)
    assert task.state is TaskState.COMPLETED, task.errors
    assert task.progress is not None
    assert (task.progress.value, lines(task)[-1]) == (4_999 / 5_000, "line 4999")


def test_a_task_held_by_hand_says_how_far_it_is(queue: Queue, until: Callable[..., None]) -> None:
    queue.new_many([{}] * 2)
    tasks = queue.claim_many(2)
    with queue.keepalive(tasks):
        first, second = tasks
        assert first.attempt is not None
        assert second.attempt is not None
        first.attempt.progress(0.5, "half")
        second.attempt.log("a line")
        until(lambda: queue.get(first.key).progress and queue.get(second.key).progress, why="both are stored")
        first.attempt.progress(1)
        queue.complete(first)
        second.attempt.log("another")
        queue.fail(second, ValueError("no"))
    done = queue.get(first.key).progress
    assert done is not None
    assert (done.value, done.message) == (1, "half")
    assert lines(queue.get(second.key)) == ["a line", "another"]


def test_a_handler_under_test_may_say_what_it_likes() -> None:
    def handler(attempt: Any, task: Task) -> str:
        attempt.progress(0.5, "half")
        attempt.log("a line")
        return task.key

    assert perform(handler, make_task()).result == "task-1"
