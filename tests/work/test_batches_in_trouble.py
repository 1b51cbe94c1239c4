"""Batches whose handlers are stopped, cancelled, late or killed."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mongoq import Queue, Task, TaskState
from mongoq.embedded.server import EmbeddedServer

S = TaskState


def test_a_deadline_ends_the_whole_batch_and_a_cancel_is_told_to_its_task(queue: Queue, until: Any) -> None:
    queue.new_many([{"n": n} for n in range(3)], lease=1, deadline=3, max_retries=0)
    told: list[int] = []

    def waits(tasks: list[Task]) -> None:
        queue.cancel(tasks[1].key)
        while True:
            told.extend(task.tags["n"] for task in tasks if task.cancelled and not told)

    queue.run(waits, batch=3, burst=True)
    assert told == [1]
    assert [task.state for task in queue.tasks()] == [S.FAILED, S.CANCELLED, S.FAILED]
    assert {task.errors[-1].type for task in queue.tasks(state="failed")} == {"DeadlineExceeded"}


def test_a_task_without_a_deadline_does_not_fail_by_that_of_another(queue: Queue) -> None:
    queue.new_many([{"n": n} for n in range(2)], deadline=0.2, max_retries=0)
    queue.new_many([{"n": n} for n in range(2, 4)], max_retries=0)

    def runs_on(tasks: list[Task]) -> None:
        while any(task.tags["n"] < 2 for task in tasks):
            pass

    queue.run(runs_on, batch=4, wait=0.1, burst=True)
    assert {task.tags["n"]: task.state for task in queue.tasks()} == {
        0: S.FAILED, 1: S.FAILED, 2: S.COMPLETED, 3: S.COMPLETED,
    }  # fmt: skip


def test_no_task_fails_for_good_by_an_error_of_another(queue: Queue) -> None:
    """The last attempt of each is alone."""
    queue.new_many([{"n": n} for n in range(4)], max_retries=1, backoff=0)
    sizes: list[int] = []

    def all_or_none(tasks: list[Task]) -> None:
        sizes.append(len(tasks))
        if any(task.tags["n"] == 2 for task in tasks):
            raise ValueError(f"{len(tasks)} at once")

    queue.run(all_or_none, batch=4, wait=0.1, burst=True)
    assert sizes == [4, 1, 1, 1, 1]
    assert {task.tags["n"] for task in queue.tasks(state="failed")} == {2}


def test_a_stop_gives_back_a_batch_that_gathers(queue: Queue, until: Any) -> None:
    queue.new_many([{}] * 2)
    handle = queue.start(lambda _: None, batch=10, wait=60)
    until(lambda: len(queue.tasks(state="running")) == 2, why="they are claimed")
    handle.stop(30)  # a busy machine may take its time to write
    assert [(task.state, task.charged) for task in queue.tasks()] == [(S.READY, 0)] * 2


def test_a_task_that_lost_a_lease_runs_alone(queue: Queue, server: EmbeddedServer, collection: Any) -> None:
    queue.new_many([{"n": n} for n in range(4)])
    collection.update_one({"tags.n": 2}, {"$set": {"lost_leases": 1}})
    batches: list[list[int]] = []
    queue.run(lambda tasks: batches.append([task.tags["n"] for task in tasks]), batch=10, wait=0.2, burst=True)
    assert [2] in batches
    assert sorted(n for batch in batches for n in batch) == [0, 1, 2, 3]


KILLED = """
import sys, time
from mongoq import Queue
def begins(tasks):
    print(len(tasks), flush=True)
    time.sleep(60)
Queue(sys.argv[1], namespace=sys.argv[2], lease=2, workers=1).run(begins, batch=5)
"""


def test_of_a_worker_that_is_killed_in_a_batch_each_task_runs_again(queue: Queue, server: EmbeddedServer) -> None:
    queue.new_many([{"n": n} for n in range(5)], lease=2)
    command = [sys.executable, "-c", KILLED, server.uri, queue.namespace]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"5\n"
        killed.kill()
    ran: list[int] = []
    queue.run(lambda tasks: ran.extend(task.tags["n"] for task in tasks), batch=5, wait=0.2, burst=True)
    while not all(task.state is S.COMPLETED for task in queue.tasks()):
        queue.run(lambda tasks: ran.extend(task.tags["n"] for task in tasks), batch=5, wait=0.2, burst=True)
    assert sorted(ran) == [0, 1, 2, 3, 4], "each once more"
    assert {task.charged for task in queue.tasks()} == {1}, "the lost one is not counted"


@pytest.fixture
def importable(queue: Queue) -> Iterator[Any]:
    """Give task functions that children can import."""
    sys.path.insert(0, str(Path(__file__).parent))
    module = importlib.import_module("batch_functions")
    queue.include(module.tasks)
    yield module
    sys.path.pop(0)
    sys.modules.pop("batch_functions")


def test_a_child_process_runs_a_batch_and_each_task_ends_as_its_entry_says(queue: Queue, importable: Any) -> None:
    handles = [importable.mixed.new(number) for number in range(5)]
    crashing = [importable.deadly.new(number) for number in (1, 13, 2)]
    queue.run(executor="processes", workers=1, burst=True)
    tasks = [queue.get(handle.key) for handle in handles]
    assert [task.state for task in tasks] == [S.COMPLETED, S.FAILED, S.FAILED, S.FAILED, S.COMPLETED]
    assert [task.charged for task in tasks] == [1, 1, 2, 2, 1]
    assert [task.errors[-1].message for task in tasks[1:4]] == ["no such number", "busy", "odd"]
    assert all(task.progress is not None and task.progress.message == f"number {n}" for n, task in enumerate(tasks))
    assert tasks[0].result == tasks[4].result != os.getpid()
    crashed = [queue.get(handle.key) for handle in crashing]
    assert [task.state for task in crashed] == [S.COMPLETED, S.FAILED, S.COMPLETED]
    assert [error.type for error in crashed[1].errors] == ["WorkerCrashed", "WorkerCrashed"], "together, then alone"


def test_in_a_child_a_cancel_is_told_to_its_task_and_a_deadline_ends_the_batch(
    queue: Queue, importable: Any, until: Any
) -> None:
    late = [importable.endless.new(number) for number in range(2)]
    told = [importable.patient.new(number) for number in range(3)]
    handle = queue.start(executor="processes", workers=1)
    until(lambda: queue.get(told[0].key).progress is not None, why="all three are in one call")
    queue.cancel(told[1].key)
    until(queue.empty, why="all have ended")
    handle.stop()
    assert [queue.get(one.key).errors[-1].type for one in late] == ["DeadlineExceeded"] * 2
    tasks = [queue.get(one.key) for one in told]
    assert [task.state for task in tasks] == [S.COMPLETED, S.CANCELLED, S.COMPLETED]
    assert [tasks[place].result for place in (0, 2)] == ["went on"] * 2
