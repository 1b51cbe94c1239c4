"""Waiting for the end of one task, and for queues to be empty."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from pymongo import MongoClient, monitoring

from mongoq import ConfigurationError, Queue, QueueClosed, TaskNotFound, TaskState


@pytest.fixture
def other(make_queue: Callable[..., Queue], queue: Queue) -> Queue:
    """Give another object on the same namespace, as another process would have."""
    return make_queue(namespace=queue.namespace)


def later(work: Callable[[], object]) -> None:
    threading.Timer(0.3, work).start()


def test_a_wait_brings_the_finished_task_with_its_result(queue: Queue, other: Queue) -> None:
    task = queue.new({"n": 3})
    other.start(lambda task: task.tags["n"] * 2)
    done = queue.wait(task, timeout=30)
    assert done is not None
    assert (done.state, done.result) == (TaskState.COMPLETED, 6)
    again = queue.wait(task.key, timeout=0)
    assert again is not None
    assert again.finished


def test_the_end_of_a_task_is_told_before_the_next_look(queue: Queue, other: Queue) -> None:
    late = []
    for _ in range(5):
        queue.new()
        task = other.try_claim()
        assert task is not None
        ended: list[float] = []

        def complete(task: Any = task, ended: list[float] = ended) -> None:
            ended.append(time.monotonic())
            other.complete(task)

        later(complete)
        assert queue.wait(task, timeout=30) is not None
        late.append(time.monotonic() - ended[0])
    # Looks are a second apart by then.
    assert sorted(late)[2] < 0.25


def test_a_wait_ends_empty_handed_at_its_timeout(queue: Queue) -> None:
    task = queue.new()
    before = time.monotonic()
    assert queue.wait(task, timeout=0.4) is None
    assert time.monotonic() - before >= 0.4


@pytest.mark.parametrize("way", ["completed", "deleted"])
def test_a_task_that_goes_while_it_is_waited_for_is_said_to_have_gone(queue: Queue, other: Queue, way: str) -> None:
    task = queue.new(keep_completed=0)
    if way == "completed":
        claimed = other.try_claim()
        assert claimed is not None
        later(lambda: other.complete(claimed))
    else:
        later(lambda: other.delete(task.key))
    with pytest.raises(TaskNotFound, match="keep_completed=0"):
        queue.wait(task, timeout=30)
    with pytest.raises(TaskNotFound):
        queue.wait("nobody", timeout=30)


def test_all_who_wait_share_one_stream(queue: Queue, other: Queue) -> None:
    tasks = queue.new_many([{}] * 12)
    got: list[Any] = []
    threads = [threading.Thread(target=lambda task=task: got.append(queue.wait(task, timeout=60))) for task in tasks]
    for thread in threads:
        thread.start()
    other.run(lambda task: None, burst=True)
    for thread in threads:
        thread.join(60)
    assert {task.key for task in got if task} == {task.key for task in tasks}


def test_closing_the_queue_ends_a_wait(queue: Queue) -> None:
    task = queue.new()
    later(queue.close)
    with pytest.raises(QueueClosed):
        queue.wait(task, timeout=30)


def test_a_queue_is_empty_when_nothing_in_it_is_unfinished(queue: Queue) -> None:
    assert queue.empty()
    queue.new(queue="mail/in")
    queue.new(queue="mail/out", delay=60)
    queue.new(queue="bulk")
    task = queue.try_claim("bulk")
    assert task is not None
    assert [queue.empty(names) for names in (None, "mail/in", "mail/out", "bulk", "none")] == [False] * 4 + [True]
    assert not queue.empty(prefix="mail/")
    queue.complete(task)
    assert queue.empty("bulk")
    assert queue.empty(["bulk", "none"])
    assert not queue.empty(["bulk", "mail/in"])
    assert queue.empty(prefix="b")


def test_a_join_waits_until_the_queues_are_empty(queue: Queue, other: Queue) -> None:
    queue.new_many([{}] * 20, queue="a")
    queue.new(queue="b")
    assert queue.join("none")
    assert not queue.join("a", timeout=0.1)
    other.start(lambda task: None, queues="a")
    assert queue.join("a", timeout=30)
    assert queue.size("a") == 0
    assert not queue.join(timeout=0)
    with pytest.raises(ConfigurationError, match="timeout"):
        queue.join(timeout=-1)


def test_closing_the_queue_ends_a_join(queue: Queue) -> None:
    queue.new()
    later(queue.close)
    with pytest.raises(QueueClosed):
        queue.join(timeout=30)


class Reads(monitoring.CommandListener):
    """What each search asked for: the level of its read concern."""

    def __init__(self) -> None:
        self.levels: list[str] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name == "find" and str(event.command["find"]).endswith(".tasks"):
            self.levels.append(event.command.get("readConcern", {}).get("level", "local"))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Leave it aside."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Leave it aside."""


TOLD: dict[str, Callable[[Queue, str], object]] = {
    "get": lambda queue, key: queue.get(key),
    "wait": lambda queue, key: queue.wait(key, timeout=0),
    "wait for a moment": lambda queue, key: queue.wait(key, timeout=0.2),
    "tasks": lambda queue, key: list(queue.tasks()),
    "tasks by key": lambda queue, key: list(queue.tasks(keys=[key])),
    "empty": lambda queue, key: queue.empty(),
}


@pytest.mark.parametrize("how", TOLD)
def test_what_a_caller_is_told_is_what_a_majority_has(server: Any, how: str) -> None:
    """A primary that is cut off from its set shows what the set may forget."""
    reads = Reads()
    with (
        MongoClient[Any](server.uri, event_listeners=[reads]) as client,
        Queue(client, namespace="told-" + how.replace(" ", "-")) as queue,
    ):
        key = queue.new().key
        reads.levels.clear()
        TOLD[how](queue, key)
        assert reads.levels
        assert set(reads.levels) <= {"majority", "snapshot"} | ({"local"} if how == "empty" else set())
        if how == "empty":
            assert reads.levels[0] == "snapshot", "the others are of the same transaction"


def test_what_looks_for_work_reads_what_is_there(server: Any) -> None:
    reads = Reads()
    with MongoClient[Any](server.uri, event_listeners=[reads]) as client, Queue(client, namespace="look") as queue:
        queue.new_many([{"n": n} for n in range(3)])
        reads.levels.clear()
        assert len(queue.claim_many(3)) == 3
        assert set(reads.levels) == {"local"}
