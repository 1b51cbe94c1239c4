"""A worker stops when a newer mongoq has begun to write what it cannot read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mongoq import NewerFormat, Queue
from mongoq.storage.operations.namespace.format_version import FORMAT
from mongoq.worker.fleet import presence
from mongoq.worker.services import format_check


def write_newer(collection: Any, queue: Queue) -> None:
    control = collection.database[f"{queue.namespace}.control"]
    newer = {"version": FORMAT + 1, "oldest_reader": FORMAT + 1}
    control.update_one({"_id": "format"}, {"$set": newer}, upsert=True)


def test_a_running_worker_stops_at_its_next_heartbeat(
    queue: Queue, collection: Any, monkeypatch: pytest.MonkeyPatch, until: Callable[..., None]
) -> None:
    monkeypatch.setattr(presence, "BEAT_EVERY_IDLE", 0.1)
    monkeypatch.setattr(format_check, "CHECK_EVERY", 0.1)
    monkeypatch.setattr(format_check, "READ_WITHIN", 0.1)
    handle = queue.start(print)
    until(lambda: bool(queue.workers()))
    write_newer(collection, queue)
    until(lambda: handle.stopped)
    assert isinstance(handle.error, NewerFormat)


def test_a_process_that_comes_later_is_refused_before_it_writes(queue: Queue, collection: Any) -> None:
    write_newer(collection, queue)
    for call in (lambda: queue.new({"n": 1}), lambda: queue.run(print, burst=True)):
        with pytest.raises(NewerFormat, match="upgrade mongoq in this process"):
            call()
    assert collection.count_documents({}) == 0
