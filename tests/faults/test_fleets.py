"""Those who watch for an idle fleet are killed or frozen: tasks are late by seconds, and none is missed (F14).

On a server of this module's own, so that nothing else wakes anybody.
"""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mongoq import Queue
from mongoq.worker.fleet.presence import BEAT_EVERY_IDLE
from mongoq.worker.fleet.watcher import LONGEST_POLL_DEPUTY
from proving.cluster import Cluster
from proving.fault_fleet import FaultFleet, FaultWorker

Until = Callable[..., None]
Figure = Callable[[str, str], None]

SILENT = 8.0
SLACK = 4.0
"""Seconds for a loaded machine."""
SIZE = 4


@pytest.fixture(scope="module")
def alone() -> Iterator[Cluster]:
    with Cluster(members=1) as cluster:
        yield cluster


class Sleeping:
    """A fleet in which one watches and all others sleep."""

    def __init__(self, cluster: Cluster, fleet: FaultFleet, until: Until) -> None:
        self._until = until
        self._fleet = fleet
        self.namespace = f"f-{secrets.token_hex(4)}"
        self._heartbeats = cluster.primary().client["mongoq"][f"{self.namespace}.workers"]
        self.queue = Queue(cluster.uri, namespace=self.namespace)
        self.queue.init()
        for _ in range(SIZE):
            fleet.start(self.namespace, rare_polls=True)
        self.settle(SIZE)

    def settle(self, size: int) -> None:
        """Wait until so many are idle, one of which watches."""

        def settled() -> bool:
            parts = [row["watching"] for row in self._rows() if row["idle"]]
            return len(parts) == size and parts.count(True) == 1 and self._streams() == 1

        self._until(settled, timeout=40, why=f"one of {size} watches")

    def _streams(self) -> int:
        """How many wait at a change stream: one that gives it up does until its wait is over."""
        mine = {"ns": f"mongoq.{self.namespace}.tasks", "op": "getmore", "cursor.tailable": True}
        stages: list[dict[str, Any]] = [{"$currentOp": {}}, {"$match": mine}]
        return len(list(self._heartbeats.database.client.admin.aggregate(stages)))

    def _rows(self) -> list[dict[str, Any]]:
        alive = [worker.pid for worker in self._fleet.workers if worker.alive]
        return list(self._heartbeats.find({"pid": {"$in": alive}}, sort=[("watching", -1), ("place", 1)]))

    def first(self, count: int) -> list[FaultWorker]:
        """The watcher, and those that follow it."""
        by_pid = {worker.pid: worker for worker in self._fleet.workers}
        return [by_pid[row["pid"]] for row in self._rows()][:count]

    def started(self, key: str, timeout: float) -> float:
        """The seconds from now until a task has started."""
        began = time.monotonic()
        self._until(lambda: self._fleet.keys("task.started")[key], timeout=timeout, why="the task starts")
        return time.monotonic() - began


@pytest.fixture
def sleeping(alone: Cluster, tmp_path: Path, until: Until) -> Iterator[Sleeping]:
    with FaultFleet(alone.uri, tmp_path) as fleet:
        made = Sleeping(alone, fleet, until)
        with made.queue:
            yield made


def test_a_watcher_that_is_killed_delays_a_task_by_the_deputy_s_poll_and_is_replaced(
    sleeping: Sleeping, figure: Figure
) -> None:
    [watcher] = sleeping.first(1)
    watcher.signal(signal.SIGKILL)
    watcher.wait(60)
    late = sleeping.started(sleeping.queue.new().key, 1.1 * LONGEST_POLL_DEPUTY + SLACK)
    began = time.monotonic()
    sleeping.settle(SIZE - 1)
    replaced = time.monotonic() - began
    soon = sleeping.started(sleeping.queue.new().key, SLACK)
    figure("F14", f"the watcher is killed: the next task starts after {late:.2f} s, with a new one after {soon:.2f} s")
    assert replaced <= SILENT + BEAT_EVERY_IDLE + SLACK


@pytest.mark.parametrize("count", [1, pytest.param(2, marks=pytest.mark.long)])
def test_watchers_that_are_frozen_all_at_once_are_replaced_and_give_way_when_they_are_back(
    sleeping: Sleeping, figure: Figure, count: int
) -> None:
    frozen = sleeping.first(count)
    for worker in frozen:
        worker.signal(signal.SIGSTOP)
    keys = [sleeping.queue.new({"n": number}).key for number in range(3)]
    late = [sleeping.started(key, SILENT + BEAT_EVERY_IDLE + SLACK) for key in keys]
    for worker in frozen:
        worker.signal(signal.SIGCONT)
    sleeping.settle(SIZE)
    soon = sleeping.started(sleeping.queue.new().key, SLACK)
    figure(
        "F14", f"{count} of the first are frozen: tasks start after {max(late):.2f} s, afterwards after {soon:.2f} s"
    )
    assert all(sleeping.queue.join(timeout=60) for _ in keys)
    assert all(sleeping._fleet.keys("task.started")[key] == 1 for key in keys), "each ran once"
