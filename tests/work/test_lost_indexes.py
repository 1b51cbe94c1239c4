"""Indexes that are dropped under a running worker: what its handlers have done is written all the same."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from pymongo import MongoClient

from mongoq import Queue, TaskState
from mongoq.embedded.server import EmbeddedServer


@pytest.mark.parametrize("gone", ["due", "lease", "claim"])
@pytest.mark.parametrize("replaced", [True, False])
def test_an_ending_outlives_an_index_that_it_does_not_need(
    make_queue: Callable[..., Queue], server: EmbeddedServer, gone: str, replaced: bool
) -> None:
    queue = make_queue(workers=2)
    running, finish = threading.Barrier(3), threading.Event()

    def handler(task: Any) -> int:
        running.wait(20)
        finish.wait(20)
        return 42

    keys = [queue.new().key for _ in range(2)]
    handle = queue.start(handler, workers=2)
    running.wait(20)
    with MongoClient[Any](server.uri) as client:
        tasks = client["mongoq"][f"{queue.namespace}.tasks"]
        tasks.drop_index(gone)
        if replaced:  # so that it cannot be made again
            tasks.create_index([("elsewhere", 1)], name=gone)
        finish.set()
        for key in keys:
            assert (ended := queue.wait(key, timeout=60))
            assert (ended.state, ended.result, ended.attempts) == (TaskState.COMPLETED, 42, 1)
        if replaced:
            tasks.drop_index(gone)
    handle.stop()
