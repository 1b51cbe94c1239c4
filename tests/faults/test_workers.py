"""Workers that die, freeze, starve or have wrong clocks: promises 2 to 5 (F1, F2, F10, F14, F15, F20)."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from mongoq import Queue, Task, TaskState
from proving.cluster import Cluster
from proving.fault_fleet import FaultFleet
from proving.poison import poisonous
from proving.tiers import long_but_for

Until = Callable[..., None]
Figure = Callable[[str, str], None]

LEASE = 2.0
SKEW = 1.0
"""Seconds that a rescue waits beyond a lease."""


POINTS: dict[str, tuple[str, dict[str, Any]]] = {
    "after a claim": ("tasks.claimed", {}),
    "in a handler": ("task.started", {}),
    "before an ending": ("task.ended", {}),
    "after an ending": ("tasks.finished", {}),
    "after a renewal": ("tasks.renewed", {"seconds": 1.5}),
    "before a release": ("task.ended", {"seconds": 60}),
}
"""The event at which a worker dies; no handler of 60 s ends before SIGTERM, so the first ending is a release."""


@pytest.mark.parametrize("point", long_but_for(["after a claim", "in a handler", "before an ending"], POINTS))
def test_the_tasks_of_a_killed_worker_run_elsewhere_a_lease_and_a_second_later(
    fleet: FaultFleet, make_queue: Callable[..., Queue], until: Until, figure: Figure, point: str
) -> None:
    queue = make_queue(lease=LEASE)
    event, tags = POINTS[point]
    queue.new_many([{"seconds": 0.3 * number, **tags} for number in range(4)])
    victim = fleet.start(queue.namespace, kill_at=event, options={"lease": LEASE, "grace": 0.2})
    if point == "before a release":
        until(lambda: len(victim.keys("task.started")) == 4, why="it has started all")
        victim.signal(signal.SIGTERM)
    until(lambda: not victim.alive, why=f"it dies {point}")
    killed_at = victim.lines()[-1]["at"]
    held = {task.key for task in queue.tasks(state="running")}
    assert held, "it held nothing: the test shows nothing"
    started: dict[str, float] = {}
    handle = queue.start(lambda task: started.setdefault(task.key, time.monotonic() - killed_at), workers=8)
    until(lambda: {task.state for task in queue.tasks()} == {TaskState.COMPLETED}, why="all four complete")
    handle.stop(0)

    assert {task.charged for task in queue.tasks()} == {1}, "a killed worker cost its tasks an attempt"
    assert held <= set(started)
    after = max(started[key] for key in held)
    figure("F1", f"killed {point}: {len(held)} tasks run elsewhere after {after:.2f} s (lease {LEASE:g} s)")
    # Counted from the claim or renewal, which was at most a lease ago; half a second is the machine's.
    assert after <= LEASE + SKEW + 0.5


KINDS: tuple[dict[str, Any], ...] = (
    {"do": "return", "freeze": True}, {"do": "raise", "freeze": True}, {"do": "snooze", "freeze": True},
    {"do": "move", "freeze": True}, {"do": "wait", "freeze": True}, {"do": "wait", "freeze": True, "term": True},
    {"do": "return", "at": "task.ended"}, {"do": "raise", "at": "task.ended"},
)  # fmt: skip
"""What a frozen worker will try when it goes on: every way to end an attempt, to renew it, and to release it."""


class Freeze:
    """A worker that freezes itself on a task, in a namespace of their own; the task is then given to somebody else."""

    def __init__(self, kind: dict[str, Any], queue: Queue, fleet: FaultFleet, cluster: Cluster) -> None:
        self.kind = kind
        self.queue = queue
        self.key = queue.new({name: value for name, value in kind.items() if name in ("do", "freeze")}).key
        options = {"lease": 3, "grace": 0.2}
        self.worker = fleet.start(queue.namespace, workers=1, freeze_at=kind.get("at", ""), options=options)
        self._database = cluster.primary().client["mongoq"]
        self._documents = self._database[f"{queue.namespace}.tasks"]
        self._mine: list[Task] = []

    @property
    def happened(self) -> bool:
        """Whether the worker is frozen over the task."""
        assert self.worker.alive, self.worker.log()
        return self.worker.frozen and self.queue.get(self.key).state is TaskState.RUNNING

    def taken(self) -> bool:
        """Whether its task was given away by now."""
        task = self.queue.try_claim()
        self._mine += [task] if task else []
        return bool(self._mine)

    def accepted(self, until: Until) -> int:
        """Let the worker go on, and say how many of its writes changed the task; then complete it."""
        before = self._documents.find_one({"_id": self.key})
        told = len(self.worker.lines("task.lease_lost"))
        if self.kind.get("term"):
            self.worker.signal(signal.SIGTERM)
        self.worker.signal(signal.SIGCONT)
        learnt = lambda: len(self.worker.lines("task.lease_lost")) > told or not self.worker.alive  # noqa: E731
        until(learnt, why="it learns that its lease is lost")
        self.worker.close()
        changed = self._documents.find_one({"_id": self.key}) != before
        self.queue.complete(self._mine[0])
        return int(changed)

    def close(self) -> None:
        """Leave nothing: the more files the servers hold open, the longer the proxies look for who has connected."""
        self.queue.close()
        for name in self._database.list_collection_names(filter={"name": {"$regex": f"^{self.queue.namespace}"}}):
            self._database.drop_collection(name)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("rounds", [1, pytest.param(25, marks=pytest.mark.long)])
def test_nothing_that_a_frozen_worker_writes_is_accepted_once_its_task_was_given_away(
    *, fleet: FaultFleet, cluster: Cluster, make_queue: Callable[..., Queue], until: Until, figure: Figure, rounds: int
) -> None:
    accepted = 0
    for _ in range(rounds):
        freezes = [Freeze(kind, make_queue(), fleet, cluster) for kind in KINDS]
        for freeze in freezes:
            until(partial(getattr, freeze, "happened"), why=f"it freezes: {freeze.kind}")
        for freeze in freezes:
            until(freeze.taken, why="its task is given away")
        accepted += sum(freeze.accepted(until) for freeze in freezes)
        for freeze in freezes:
            freeze.close()
    figure("F2", f"stale writes accepted from frozen workers: {accepted} of {rounds * len(KINDS)}")
    assert accepted == 0


@pytest.mark.parametrize("wrong", [6, -6])
def test_a_worker_whose_clock_is_wrong_holds_its_leases_no_shorter_and_no_longer(
    *, fleet: FaultFleet, make_queue: Callable[..., Queue], until: Until, figure: Figure, wrong: int
) -> None:
    queue = make_queue(lease=LEASE)
    keys = {task.key for task in queue.new_many([{"do": "return", "seconds": 3}] * 4)}
    workers = [fleet.start(queue.namespace, clock=clock, options={"lease": LEASE}) for clock in (wrong, 0, -wrong)]
    until(lambda: {task.state for task in queue.tasks()} == {TaskState.COMPLETED}, why="all are completed")
    lost = sum(len(worker.lines("task.lease_lost")) for worker in workers)
    figure("F10", f"clocks {wrong:+d}, 0, {-wrong:+d} s: {lost} leases lost, {fleet.keys('task.started').total()} runs")
    assert fleet.keys("task.started") == dict.fromkeys(keys, 1)
    assert {(task.attempts, lost) for task in queue.tasks()} == {(1, 0)}


def test_a_handler_that_holds_the_interpreter_beyond_its_lease_is_completed_once(
    fleet: FaultFleet, make_queue: Callable[..., Queue], until: Until, figure: Figure
) -> None:
    queue = make_queue(lease=1)
    key = queue.new({"hold": 3}).key
    workers = [fleet.start(queue.namespace, workers=1, options={"lease": 1}) for _ in range(2)]
    until(lambda: queue.get(key).state is TaskState.COMPLETED, why="it is completed")
    until(lambda: fleet.keys("task.lease_lost")[key], why="the slow one learns that it was given away")
    completed = sum(worker.completed().count(key) for worker in workers)
    runs = fleet.keys("task.started")[key]
    figure("F15", f"the interpreter held for 3 s with a lease of 1 s: {runs} runs, {completed} accepted")
    assert (runs, completed) == (2, 1)


@pytest.mark.parametrize("how", long_but_for(["exit", "regex"], ["exit", "segfault", "memory", "regex"]))
def test_poison_in_child_processes_ends_as_failed_and_costs_the_others_nothing(
    *, make_queue: Callable[..., Queue], until: Until, figure: Figure, how: str
) -> None:
    queue = make_queue(backoff=0.1, deadline=2 if how == "regex" else None)
    key = queue.new({"poison": how}, max_retries=1, priority=1).key
    others = [task.key for task in queue.new_many([{}] * 40)]
    handle = queue.start(poisonous, executor="processes", workers=2)
    until(lambda: all(task.finished for task in queue.tasks()), why="all have ended")
    handle.stop(5)
    dead = queue.get(key)
    figure("F14", f"poison by {how}: {dead.state} after {dead.charged} attempts, 40 others completed")
    assert (dead.state, dead.charged) == (TaskState.FAILED, 2)
    assert {(task.state, task.charged) for task in queue.tasks(keys=others)} == {(TaskState.COMPLETED, 1)}


FORKS = """
import os, sys, time
from mongoq import DuplicateTask, Queue, StorageUnavailable
uri, namespace, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Queue(uri, namespace=namespace, grace=0) as queue:
    queue.new_many([{}] * 500)
    queue.start(lambda task: time.sleep(0.001))
    children = []
    for number in range(count):
        child = os.fork()
        if not child:
            with Queue(uri, namespace=namespace) as own:
                while True:
                    try:
                        own.new(key=f"child-{number}")
                    except StorageUnavailable:  # a starved machine: the same call succeeds later
                        continue
                    except DuplicateTask:
                        pass
                    break
            os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize("forks", [10, pytest.param(50, marks=pytest.mark.long)])
def test_a_process_that_forks_while_it_works_hangs_no_child(
    *, cluster: Cluster, queue: Queue, figure: Figure, forks: int
) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKS, cluster.uri, queue.namespace, str(forks)]
    done = subprocess.run(command, check=False, timeout=120, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = {task.key for task in queue.tasks(limit=None)}
    figure("F20", f"{forks} forks under load: 0 hung")
    assert {f"child-{number}" for number in range(forks)} <= made
