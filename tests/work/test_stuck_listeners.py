"""Listeners of events that are stuck stop neither renewals nor endings nor a stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from mongoq import Queue, Task


@pytest.mark.parametrize("stuck_at", ["tasks.finished", "tasks.renewed"])
def test_a_stuck_listener_stops_no_renewal_no_ending_and_no_stop(
    make_queue: Callable[..., Queue], until: Callable[..., None], stuck_at: str
) -> None:
    queue = make_queue(lease=3, workers=2, grace=0.2)
    go_on, stuck, ending = threading.Event(), threading.Event(), threading.Event()

    def listen(name: str, _fields: Mapping[str, Any]) -> None:
        if name == stuck_at:
            stuck.set()
            go_on.wait(60)

    def work(task: Task) -> None:
        if task.get("long"):
            ending.wait(60)

    queue.telemetry.subscribe(listen)
    long = queue.new({"long": True}).key
    handle = queue.start(work)
    try:
        queue.new()
        until(stuck.is_set, why="the listener is stuck")
        others = [queue.new().key for _ in range(10)]
        until(lambda: all(queue.get(key).finished for key in others), why="endings are written")
        lease = queue.get(long).lease_until
        until(lambda: queue.get(long).lease_until != lease, why="its lease is renewed")
        assert queue.get(long).lost_leases == 0
        began = time.monotonic()
        handle.stop()
        assert time.monotonic() - began < 30, "the listener is stuck for 60 s"
    finally:
        ending.set()
        go_on.set()
