"""Servers whose clocks are apart, whose disks are slow or full, and change streams that end (F9, F11, F12, F13)."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import pytest

from mongoq import LeaseLost, Queue, Task, TaskState
from proving.cluster import Cluster
from proving.fault_fleet import FaultFleet
from proving.member import Member
from proving.outage import Producers, longest_pause, seconds_without_majority
from proving.tiers import long_but_for

Until = Callable[..., None]
Figure = Callable[[str, str], None]

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
STRACE = shutil.which("strace")
LONGEST_POLL = 5.0


@contextmanager
def injected(member: Member, calls: str, effect: str) -> Iterator[subprocess.Popen[bytes]]:
    """Let system calls of a member be slow, or fail, as long as the block lasts."""
    command = [STRACE or "", "-f", "-qq", "-o", "/dev/null", "-p", str(member.pid)]
    command += ["-e", f"trace={calls}", "-e", f"inject={calls}:{effect}"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


@pytest.mark.skipif(not STRACE, reason="strace is not installed")
def test_a_slow_disk_costs_time_and_no_lease(
    *, cluster: Cluster, fleet: FaultFleet, queue: Queue, until: Until, figure: Figure
) -> None:
    worker = fleet.start(queue.namespace, workers=1, options={"lease": 5})
    until(lambda: worker.lines("ready"), why="it has started")
    with injected(cluster.primary(), "fdatasync,fsync", "delay_exit=100000"):
        made: list[float] = []
        for _ in range(5):
            began = time.monotonic()
            queue.new({"seconds": 0.1})
            made.append(time.monotonic() - began)
        queue.new({"seconds": 3})
        until(lambda: not queue.size(), why="all are done")
    figure("F11", f"100 ms per sync on the primary: enqueued in {median(made) * 1000:.0f} ms, no lease of 5 s lost")
    assert not worker.lines("task.lease_lost")
    assert {(task.state, task.attempts) for task in queue.tasks()} == {(TaskState.COMPLETED, 1)}


@pytest.mark.skipif(not STRACE, reason="strace is not installed")
def test_a_full_disk_of_the_primary_loses_nothing(
    *, cluster: Cluster, fleet: FaultFleet, queue: Queue, until: Until, figure: Figure
) -> None:
    backlog = [task.key for task in queue.new_many([{"seconds": 0.03}] * 800)]
    worker = fleet.start(queue.namespace, options={"lease": 10, "grace": 1})
    until(lambda: worker.keys("tasks.finished"), why="it works")
    old = cluster.primary()
    with Producers(queue, threads=4, tasks=200) as producers, injected(old, "pwrite64", "error=ENOSPC"):
        began = time.monotonic()
        until(lambda: old.pid is None, why="a server without a disk ends")
        dead = time.monotonic()
        election = seconds_without_majority(cluster, dead)
    until(lambda: worker.lines("tasks.finished")[-1]["at"] > dead + election, why="it works again")
    worker.signal(signal.SIGTERM)
    worker.wait(60)
    cluster.restore()
    stored = {task.key: task.state for task in queue.tasks(limit=None)}
    ends = worker.completed()
    pause = longest_pause([worker], began)
    figure("F12", f"disk of the primary full: 0 of {len(producers.acknowledged) + len(ends)} lost, pause {pause:.1f} s")
    assert set(producers.acknowledged) | set(backlog) <= set(stored)
    assert {stored[key] for key in ends} == {TaskState.COMPLETED}


@pytest.mark.skipif(not FAKETIME, reason="libfaketime is not installed")
@pytest.mark.parametrize("ahead", [30, -15])
def test_a_jump_of_the_primary_s_clock_gives_no_stale_holder_a_say(
    *, cluster: Cluster, make_queue: Callable[..., Queue], until: Until, figure: Figure, ahead: int
) -> None:
    first = make_queue(lease=10)
    second = make_queue(lease=10, namespace=first.namespace)
    first.new(key="k")
    wrong = cluster.secondaries()[0]
    wrong.kill()
    wrong.start(LD_PRELOAD=str(FAKETIME), FAKETIME=f"{ahead:+d}s", FAKETIME_DONT_FAKE_MONOTONIC="1")
    cluster.restore()
    began = time.monotonic()
    stale = first.try_claim()
    assert stale
    while cluster.primary() is not wrong:
        cluster.step_down()
        cluster.wait_for_primary()
    held: list[Task] = []

    def given_away() -> bool:
        task = second.try_claim()
        held.extend([task] if task else [])
        return bool(held)

    until(given_away, why="it is given away")
    figure("F9", f"next primary {ahead:+d} s: a lease of 10 s was given away after {time.monotonic() - began:.1f} s")
    for end in (first.complete, first.release):
        with pytest.raises(LeaseLost):
            end(stale)
    second.complete(held[0])
    wrong.kill()


@pytest.mark.parametrize("fault", long_but_for([Member.kill, Member.freeze], [Member.kill, Member.freeze, Member.cut]))
def test_an_idle_worker_whose_primary_is_lost_starts_the_next_task_within_a_poll(
    *, cluster: Cluster, queue: Queue, until: Until, figure: Figure, fault: Callable[[Member], None]
) -> None:
    watching, started = threading.Event(), threading.Event()
    queue.telemetry.subscribe(lambda name, _: watching.set() if name == "wakeups.watching" else None)
    queue.new()
    handle = queue.start(lambda task: started.set() if task.get("late") else None)
    until(watching.is_set, why="it listens for news")
    began = time.monotonic()
    fault(cluster.primary())
    seconds_without_majority(cluster, began)
    with Queue(cluster.uri, namespace=queue.namespace) as producer:  # another process's: it wakes nobody here
        producer.new({"late": True})
        made = time.monotonic()
    until(started.is_set, why="it starts")
    late = time.monotonic() - made
    handle.stop(0)
    figure("F13", f"primary {fault.__name__} while idle: the next task starts after {late:.2f} s")
    assert late <= LONGEST_POLL + 1
