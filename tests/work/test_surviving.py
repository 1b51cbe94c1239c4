from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mongoq import Queue
from mongoq.embedded.server import EmbeddedServer, open_embedded


@pytest.fixture
def own_server(tmp_path: Path, until: Callable[..., None]) -> Iterator[EmbeddedServer]:
    """Give a server that a test may freeze."""
    with open_embedded(tmp_path / "db") as server:
        yield server
    until(lambda: not (server.folder / "server.json").exists(), why="the server stops")


def test_a_worker_survives_a_frozen_server_with_one_line_per_change(
    own_server: EmbeddedServer, watch: Any, until: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mongoq")
    with Queue(own_server.uri, grace=0, lease=60) as queue:
        events = watch(queue)
        queue.start(lambda task: None)
        queue.new_many([{}] * 50)
        events.wait("tasks.finished")
        os.kill(own_server.pid, signal.SIGSTOP)
        try:
            events.wait("storage.lost", timeout=30)
        finally:
            os.kill(own_server.pid, signal.SIGCONT)
        events.wait("storage.back", timeout=60)
        queue.new_many([{}] * 50)
        until(lambda: queue.stats()["default"].completed == 100, why="all tasks complete")

    about = [record.message for record in caplog.records if record.name == "mongoq.worker"]
    assert sum("goes on trying" in message for message in about) == len(events.of("storage.lost"))
    assert sum("works again" in message for message in about) == len(events.of("storage.back"))
    assert len(about) <= 4, about


@pytest.mark.parametrize("aware", [True, False], ids=["a new producer", "one that has checked the indexes before"])
def test_a_worker_goes_on_after_its_collection_was_dropped(
    make_queue: Callable[..., Queue], watch: Any, aware: bool
) -> None:
    queue = make_queue()
    producer = make_queue(namespace=queue.namespace)
    events = watch(queue)
    queue.start(lambda task: None)
    producer.new()
    events.wait("tasks.finished")
    queue._base.driver.connection.database.drop_collection(f"{queue.namespace}.tasks")
    if aware:
        producer = make_queue(namespace=queue.namespace)
    producer.new()

    events.wait("tasks.finished", 2)
    assert producer.stats()["default"].completed == 1
    assert producer.init() == []
