"""A worker ends within its grace and a second after SIGTERM, whatever it is doing and whatever its servers do (F19)."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from mongoq import Queue
from proving.cluster import Cluster
from proving.fault_fleet import FaultFleet, FaultWorker
from proving.tiers import long_but_for

Until = Callable[..., None]
Figure = Callable[[str, str], None]
Prepare = Callable[[Cluster, Queue, FaultWorker, Until], None]

GRACE = 1.0


def idle(cluster: Cluster, queue: Queue, worker: FaultWorker, until: Until) -> None:
    until(lambda: worker.lines("wakeups.watching"), why="it is idle")


def busy(cluster: Cluster, queue: Queue, worker: FaultWorker, until: Until) -> None:
    queue.new_many([{"seconds": 0.01}] * 2_000)
    until(lambda: worker.lines("tasks.finished"), why="it works")


def stuck(cluster: Cluster, queue: Queue, worker: FaultWorker, until: Until) -> None:
    queue.new_many([{"seconds": 60}] * 8)
    until(lambda: len(worker.keys("task.started")) == 4, why="its handlers run")


def without_a_primary(cluster: Cluster, queue: Queue, worker: FaultWorker, until: Until) -> None:
    stuck(cluster, queue, worker, until)
    for member in cluster.secondaries():
        member.freeze()
    until(lambda: not cluster.has_primary(), why="the primary has stepped down")
    until(lambda: worker.lines("storage.lost"), why="it has noticed")


def just_after_its_primary_froze(cluster: Cluster, queue: Queue, worker: FaultWorker, until: Until) -> None:
    busy(cluster, queue, worker, until)
    cluster.primary().freeze()


def with_all_servers_frozen(cluster: Cluster, queue: Queue, worker: FaultWorker, until: Until) -> None:
    busy(cluster, queue, worker, until)
    for member in cluster.members:
        member.freeze()
    until(lambda: worker.lines("storage.lost"), why="it has noticed")


def with_all_servers_dead(cluster: Cluster, queue: Queue, worker: FaultWorker, until: Until) -> None:
    busy(cluster, queue, worker, until)
    for member in cluster.members:
        member.kill()
    until(lambda: worker.lines("storage.lost"), why="it has noticed")


def cut_off_from_all_servers(cluster: Cluster, queue: Queue, worker: FaultWorker, until: Until) -> None:
    busy(cluster, queue, worker, until)
    for member in cluster.members:
        cluster.network.cut(member.index, clients=True)
    until(lambda: worker.lines("storage.lost"), why="it has noticed")


def in_the_middle_of_a_claim(cluster: Cluster, queue: Queue, worker: FaultWorker, until: Until) -> None:
    idle(cluster, queue, worker, until)
    cluster.network.lose_replies(1, "update", then="hang")
    queue.new_many([{"seconds": 0.01}] * 4)
    until(lambda: cluster.network.lost, why="it waits for the reply to its claim")


def in_the_middle_of_an_ending(cluster: Cluster, queue: Queue, worker: FaultWorker, until: Until) -> None:
    queue.new({"seconds": 0.5})
    until(lambda: worker.lines("task.started"), why="its handler runs")
    cluster.network.lose_replies(1, "update", then="hang")
    until(lambda: cluster.network.lost, why="it waits for the reply to its ending")


IN_EVERY_MERGE = [
    idle, stuck, just_after_its_primary_froze, with_all_servers_frozen, with_all_servers_dead,
    in_the_middle_of_an_ending,
]  # fmt: skip
STATES: list[Any] = [
    idle, busy, stuck, without_a_primary, just_after_its_primary_froze, with_all_servers_frozen,
    with_all_servers_dead, cut_off_from_all_servers, in_the_middle_of_a_claim, in_the_middle_of_an_ending,
]  # fmt: skip


@pytest.mark.parametrize(
    "prepare", long_but_for(IN_EVERY_MERGE, STATES), ids=lambda state: state.__name__.replace("_", " ")
)
def test_a_worker_ends_within_its_grace_and_a_second(
    *, cluster: Cluster, fleet: FaultFleet, queue: Queue, until: Until, figure: Figure, prepare: Prepare
) -> None:
    queue.init()
    # With the default of 10 s it would take that long to say that no server answers; it ends no later.
    uri = f"{cluster.uri}&serverSelectionTimeoutMS=1000"
    worker = fleet.start(queue.namespace, uri=uri, options={"grace": GRACE})
    until(lambda: worker.lines("ready"), why="it has started")
    until(queue.workers, why="it works")
    prepare(cluster, queue, worker, until)
    began = time.monotonic()
    worker.signal(signal.SIGTERM)
    code = worker.wait(60)
    took = time.monotonic() - began
    figure("F19", f"SIGTERM {prepare.__name__.replace('_', ' ')}: out after {took:.2f} s (grace {GRACE:g} s)")
    assert code == 0, worker.log()
    # The figure is the promise; the seconds more are for an interpreter that ends on a machine with others to serve.
    assert took <= GRACE + 1 + 7


def test_a_worker_that_finds_no_server_ends_at_once(
    cluster: Cluster, fleet: FaultFleet, until: Until, figure: Figure
) -> None:
    worker = fleet.start("nowhere", uri="mongodb://127.0.0.1:1/", options={"grace": GRACE})
    until(lambda: worker.lines("ready"), why="it looks for its server")
    began = time.monotonic()
    worker.signal(signal.SIGTERM)
    worker.wait(60)
    took = time.monotonic() - began
    figure("F19", f"SIGTERM while it looks for its first server: out after {took:.2f} s")
    assert took < 8, "PyMongo would look for a server for 30 s"
