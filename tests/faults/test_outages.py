"""The primary steps down, is killed, freezes, is cut off, or has a full disk while a queue is in use: promises 1
to 3, and how long that holds up a worker (F3, F4, F5, F8, F12).
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable

import pytest

from mongoq import Queue, StorageUnavailable, TaskState
from proving.cluster import Cluster
from proving.fault_fleet import FaultFleet
from proving.member import Member
from proving.outage import Producers, longest_pause, seconds_without_majority
from proving.tiers import long_but_for

Until = Callable[..., None]
Figure = Callable[[str, str], None]
Fault = Callable[[Cluster, Member], object]

FAULTS: dict[str, tuple[str, Fault]] = {
    "stepped down": ("F3", lambda cluster, primary: cluster.step_down()),
    "killed": ("F4", lambda cluster, primary: primary.kill()),
    "cut off": ("F5", lambda cluster, primary: primary.cut()),
    "cut off with its clients": ("F5", lambda cluster, primary: primary.cut(clients=False)),
    "frozen": ("F8", lambda cluster, primary: primary.freeze()),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("tasks", [200, pytest.param(1_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("how", long_but_for(["killed", "cut off with its clients", "frozen"], FAULTS))
def test_what_was_acknowledged_survives_a_primary_that_is(
    *, cluster: Cluster, fleet: FaultFleet, queue: Queue, until: Until, figure: Figure, how: str, tasks: int
) -> None:
    row, fault = FAULTS[how]
    backlog = {task.key for task in queue.new_many([{"seconds": 0.03}] * 4 * tasks)}
    workers = [fleet.start(queue.namespace, options={"lease": 10, "grace": 1})]
    until(lambda: workers[0].keys("tasks.finished"), why="it works")
    with Producers(queue, threads=8, tasks=tasks) as producers:
        until(lambda: len(producers.acknowledged) > tasks // 4, why="tasks are enqueued")
        began = time.monotonic()
        fault(cluster, cluster.primary())
        election = seconds_without_majority(cluster, began)
    until(lambda: workers[0].lines("tasks.finished")[-1]["at"] > began + election, why="it works again")
    through = sum(at > began for at in producers.acknowledged.values())
    workers[0].signal(signal.SIGTERM)
    workers[0].wait(60)
    cluster.restore()

    ends = workers[0].completed()
    stored = {task.key: task.state for task in queue.tasks(limit=None)}
    lost = len((set(producers.acknowledged) | backlog) - set(stored))
    undone = [key for key in ends if stored[key] is not TaskState.COMPLETED]
    twice = [key for key, count in Counter(ends).items() if count > 1]
    pause = longest_pause(workers, began)
    figure(
        row,
        f"primary {how}: 0 of {len(producers.acknowledged)} enqueued ({through} after the fault began) and "
        f"{len(ends)} completed were lost; majority back after {election:.1f} s, longest pause {pause:.1f} s",
    )
    assert (lost, undone, twice) == (0, [], [])
    assert len(producers.acknowledged) == tasks
    assert through > 0
    # The figure is a second, and 5 s for a frozen primary, whose sockets stay open: 3 s of silence tell. On a busy
    # machine it was 2; a worker that waits for its poll, or for a client's 30 s, takes far longer.
    assert pause <= max(election, 5) + 8


def test_a_renewal_that_no_majority_has_is_not_called_done(cluster: Cluster, queue: Queue) -> None:
    """The next primary would not know of it, and give the task to another when the lease before has run out."""
    queue.new()
    task = queue.try_claim(lease=60)
    assert task is not None
    for member in cluster.secondaries():
        member.freeze()
    with pytest.raises(StorageUnavailable):
        queue.renew(task, 600)
