from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

from mongoq import Linear, Task, TaskState

Until = Callable[..., None]


def test_four_processes_complete_20000_tasks_of_10_priorities_exactly_once(fleet: Any, until: Until) -> None:
    tasks = [{"n": number} for number in range(2_000)]
    for priority in range(10):
        fleet.queue.new_many(tasks, priority=priority)
    fleet.start(4, "quick")
    until(lambda: fleet.queue.size() == 0, timeout=120, why="all tasks complete")

    assert fleet.queue.stats(exact=True)["default"].completed == 20_000
    started = fleet.started()
    assert len(started) == 20_000
    assert set(started.values()) == {1}
    assert all(fleet.started_by(process) for process in fleet.processes), "one process did not work at all"
    # Not `attempts`: on a busy machine a worker gives back what has waited for a second, and that is claimed again.
    assert {task.charged for task in fleet.queue.tasks(limit=None)} == {1}


def test_the_tasks_of_a_killed_worker_finish_elsewhere_within_the_lease_and_two_seconds(
    fleet: Any, until: Until
) -> None:
    fleet.queue.new_many([{"n": number} for number in range(1_500)])
    fleet.start(2, "slow")
    victim = fleet.processes[0]
    until(lambda: fleet.started_by(victim), why="the victim works")
    victim.kill()
    victim.wait(10)
    held = {t.key for t in fleet.queue.tasks(state="running", limit=None) if f":{victim.pid}:" in (t.worker or "")}
    killed_at = fleet.queue.time()
    assert held, "it held nothing: the test shows nothing"
    fleet.start(2, "slow")
    until(lambda: all(t.finished for t in fleet.queue.tasks(keys=list(held), limit=None)), why="rescued")

    rescued = fleet.queue.tasks(keys=list(held), limit=None)
    assert {task.state for task in rescued} == {TaskState.COMPLETED}
    assert {task.charged for task in rescued} == {1}, "a killed worker cost its tasks an attempt"
    late = max((task.finished_at - killed_at).total_seconds() for task in rescued if task.finished_at)
    assert late <= 2 + 10, "the lease of 2 s, and what a busy machine takes to start two workers"


def test_sigterm_ends_a_worker_within_its_grace_and_gives_attempts_back(fleet: Any, until: Until) -> None:
    fleet.queue.new_many([{"n": number} for number in range(10)])
    fleet.start(1, "stuck")
    until(lambda: len(fleet.started()) == 4, why="four handlers run")
    began = time.monotonic()
    fleet.processes[0].send_signal(signal.SIGTERM)

    assert fleet.processes[0].wait(60) == 0
    assert time.monotonic() - began < 1.5 + 20  # a quiet machine needs less than a second beyond the grace
    tasks = fleet.queue.tasks()
    assert {(task.state, task.charged) for task in tasks} == {(TaskState.READY, 0)}
    assert sum(task.attempts for task in tasks) >= 4
    assert fleet.members() == []


def test_a_second_signal_stops_at_once(fleet: Any, until: Until) -> None:
    fleet.queue.new()
    fleet.start(1, "stuck and patient")
    until(fleet.started, why="its handler runs")
    first = time.monotonic()
    for _ in range(2):  # to the process and to its group, as `timeout` and some supervisors do: that is one
        fleet.processes[0].send_signal(signal.SIGINT)
    until(lambda: time.monotonic() - first > 0.6, why="a second one is no echo of the first")
    assert fleet.processes[0].poll() is None
    fleet.processes[0].send_signal(signal.SIGINT)

    assert fleet.processes[0].wait(60) == 0
    assert time.monotonic() - first < 40, "it waited for its grace of 60 s"
    assert fleet.queue.tasks()[0].state is TaskState.READY


def test_a_task_that_kills_its_process_fails_and_costs_its_neighbours_nothing(fleet: Any, until: Until) -> None:
    fleet.queue.new_many([{"n": number} for number in range(600)], priority=1)
    poison = fleet.queue.new({"poison": True}, max_retries=1, priority=1, key="poison").key
    fleet.queue.new_many([{"n": number} for number in range(600)], priority=1)
    fleet.start(1, "poison")

    def supervised() -> bool:
        """Start another process wherever one has died, as a supervisor would."""
        if fleet.processes[-1].poll() is not None:
            fleet.start(1, "poison")
        # The states are counted one after the other: one that is rescued meanwhile may be in neither count.
        return bool(fleet.queue.size() == 0 and fleet.queue.get(poison).finished)

    until(supervised, timeout=90, why="all tasks end")
    dead = fleet.queue.get(poison)
    assert (dead.state, dead.charged, dead.attempts) == (TaskState.FAILED, 2, 4)
    assert dead.last_error.type == "WorkerLost"
    others = [task for task in fleet.queue.tasks(limit=None) if task.key != poison]
    assert {(task.state, task.charged) for task in others} == {(TaskState.COMPLETED, 1)}
    assert any(task.attempts > 1 for task in others), "nothing was claimed beside it: the test shows nothing"


def test_a_handler_that_always_raises_runs_four_times_at_0_1_3_and_6_seconds(fleet: Any, until: Until) -> None:
    def handler(task: Task) -> None:
        raise ValueError(f"attempt {task.attempts}")

    key = fleet.queue.new(max_retries=3, backoff=Linear(1)).key
    handle = fleet.queue.start(handler)
    until(lambda: fleet.queue.get(key).finished, why="it fails")
    handle.stop(0)

    task = fleet.queue.get(key)
    at = [(error.at - task.created_at).total_seconds() for error in task.errors]
    assert (task.state, task.attempts, task.retries) == (TaskState.FAILED, 4, 4)
    assert [error.message for error in task.errors] == [f"attempt {number}" for number in (1, 2, 3, 4)]
    assert 'raise ValueError(f"attempt {task.attempts}")' in task.last_error.traceback
    assert all(expected <= came < expected + 1 for expected, came in zip((0, 1, 3, 6), at, strict=True)), at
