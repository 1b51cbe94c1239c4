"""Children of the process executor that cannot go on: they end, and what is said of them is true."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from mongoq import Queue, TaskState


@pytest.mark.parametrize(
    "name, kind, words",
    [
        ("returns_more_than_fits", "MemoryError", "no memory was left to send the result"),
        ("raises_what_cannot_be_told", "WorkerCrashed", "broke down and exited with code 70"),
        ("closes_its_files", "WorkerCrashed", "closed its connection to the worker"),
        ("stays_behind_its_socket", "WorkerCrashed", "closed its connection to the worker"),
    ],
)
def test_a_child_that_breaks_ends(queue: Queue, importable: SimpleNamespace, name: str, kind: str, words: str) -> None:
    key = queue.new(max_retries=0).key
    began = time.monotonic()
    queue.run(getattr(importable, name), executor="processes", workers=1, burst=True)
    task = queue.get(key)
    assert task.last_error is not None
    assert (task.state, task.last_error.type) == (TaskState.FAILED, kind)
    assert words in task.last_error.message
    assert "memory runs out" not in task.last_error.message
    assert time.monotonic() - began < 20
