"""Children and callbacks while a worker that ends their parents and members is killed or frozen (F1, F2)."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from mongoq import NewTask, Queue, Task, TaskState
from proving.fault_fleet import FaultFleet

LEASE = 2.0


@pytest.mark.parametrize("fate", ["killed", "frozen"])
def test_children_and_callbacks_come_once_whatever_befalls_who_ends_the_others(
    fleet: FaultFleet, make_queue: Callable[..., Queue], until: Callable[..., None], fate: str
) -> None:
    queue = make_queue(lease=LEASE)
    with queue.batch(then=NewTask({"seconds": 0})) as batch:
        members = batch.new_many([{"seconds": 0.05 * number} for number in range(4)])
    child = queue.new({"seconds": 0}, after=members)
    kill_at = "task.ended" if fate == "killed" else ""
    victim = fleet.start(queue.namespace, kill_at=kill_at, options={"lease": LEASE, "grace": 0.2})
    until(lambda: not victim.alive or victim.keys("task.started"), why="it has begun")
    if fate == "frozen":
        victim.signal(signal.SIGSTOP)
    else:
        until(lambda: not victim.alive, why="it dies before it writes an ending")
    started: list[str] = []

    def note(task: Task) -> None:
        started.append(task.key)

    handle = queue.start(note, workers=4)
    both = [child.key, batch.key]
    until(lambda: {queue.get(key).state for key in both} == {TaskState.COMPLETED}, why="both have run")
    if fate == "frozen":
        victim.signal(signal.SIGCONT)
    handle.stop(0)

    assert [started.count(key) for key in both] == [1, 1]
    assert queue.get(batch.key).payload["completed"] == len(members)
    assert queue.count(state="parked") == 0
