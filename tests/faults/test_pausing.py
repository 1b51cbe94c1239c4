"""How soon a pause is in force in a fleet of several processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from mongoq import NewTask, Queue
from proving.fault_fleet import FaultFleet

PROCESSES = 4
IN_FORCE = 2.0
MACHINE = 1.0
"""Seconds for what was claimed ahead, on a busy machine."""
TOGETHER = 8
FED = 1_500
"""Tasks that come after the pause: the feeder takes longer for them than the pause to be in force."""


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "target", [{"queue": "default"}, {"name": "charge"}, {"where": {"tenant": "acme"}}], ids=["queue", "name", "tag"]
)
def test_a_pause_is_in_force_in_the_whole_fleet_within_2_s(
    fleet: FaultFleet, make_queue: Callable[..., Queue], until: Callable[..., None], target: dict[str, Any]
) -> None:
    queue, over, made = make_queue(), threading.Event(), [0]
    workers = [fleet.start(queue.namespace) for _ in range(PROCESSES)]

    def feed() -> None:
        while not over.wait(0.02):
            queue.new_many([NewTask({"seconds": 0, "tenant": "acme"}, name="charge") for _ in range(TOGETHER)])
            made[0] += TOGETHER

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        until(lambda: all(worker.lines("task.started") for worker in workers), timeout=120, why="all of them work")
        before = made[0]
        queue.pause(**target)
        at = time.monotonic()
        until(lambda: made[0] >= before + FED, timeout=120, why="tasks have come for longer than it takes")
    finally:
        over.set()
        feeder.join()
    assert time.monotonic() - at > IN_FORCE, "too few tasks came to tell"
    last = max(float(line["at"]) for worker in workers for line in worker.lines("task.started"))
    assert last - at <= IN_FORCE + MACHINE
    assert queue.resume(**target)
    until(lambda: queue.size() == 0, timeout=120, why="all of them run after the resume")
