"""Typed events of real workers, in every executor; a listener that is stuck holds up nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from mongoq import Queue, Task
from mongoq.events import (
    AttemptEnded,
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    QueueEvent,
    TaskEnded,
    WorkerStarted,
    WorkerStopped,
)

MakeQueue = Callable[..., Queue]


def test_a_worker_tells_its_life_and_that_of_its_tasks_in_every_executor(make_queue: MakeQueue, run: Any) -> None:
    queue = make_queue(workers=1, max_retries=0)
    heard: list[Any] = []
    queue.on(WorkerStarted, heard.append)
    queue.on(WorkerStopped, heard.append)
    queue.on(AttemptStarted, heard.append)
    queue.on(TaskEnded, heard.append)

    @queue.on(AttemptEnded)
    def ended(event: AttemptEnded) -> None:
        heard.append(event)

    queue.new({"error": "value"}, key="a", priority=1)
    run(queue, "fails_by_name")
    kinds = [type(event) for event in heard]
    assert kinds == [WorkerStarted, AttemptStarted, AttemptFailed, TaskEnded, WorkerStopped]
    assert heard[0].worker == heard[-1].worker
    failed, task = heard[2], heard[3]
    assert (failed.task.key, failed.how, failed.error.type) == ("a", "fail", "ValueError")
    assert (task.state, task.failure, task.error) == ("failed", "exhausted", failed.error)


def test_a_stuck_listener_holds_up_no_handler_no_ending_no_renewal_and_no_stop(
    make_queue: MakeQueue, until: Callable[..., None]
) -> None:
    queue = make_queue(lease=3, workers=2, grace=0.2)
    go_on, stuck, ending = threading.Event(), threading.Event(), threading.Event()

    def listen(event: QueueEvent) -> None:
        stuck.set()
        go_on.wait(60)

    def work(task: Task) -> None:
        if task.get("long"):
            ending.wait(60)

    queue.on(QueueEvent, listen)
    long = queue.new({"long": True}).key
    handle = queue.start(work)
    try:
        until(stuck.is_set, why="the listener is stuck")
        others = [queue.new().key for _ in range(10)]
        until(
            lambda: all(queue.get(key).finished for key in others), timeout=30, why="handlers run, endings are written"
        )
        lease = queue.get(long).lease_until
        until(lambda: queue.get(long).lease_until != lease, why="its lease is renewed")
        began = time.monotonic()
        handle.stop()
        assert time.monotonic() - began < 30, "the listener is stuck for 60 s"
    finally:
        ending.set()
        go_on.set()


def test_a_listener_that_fails_fails_no_task(queue: Queue, caplog: pytest.LogCaptureFixture) -> None:
    queue.on(AttemptSucceeded, lambda event: 1 / 0)
    queue.new(key="a")
    queue.run(lambda task: 7, burst=True)
    assert queue.get("a").result == 7
    assert "a listener of AttemptSucceeded failed" in caplog.text
