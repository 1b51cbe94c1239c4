"""Workers that share a client with few connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from mongoq import Queue


@pytest.fixture
def client_of(uri: str) -> Iterator[Callable[[int], MongoClient[Any]]]:
    """Give `client_of(connections)`: a client of the application's own."""
    made: list[MongoClient[Any]] = []

    def make(connections: int) -> MongoClient[Any]:
        made.append(MongoClient(uri, maxPoolSize=connections, tz_aware=True))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.mark.parametrize("connections_and_workers", [(1, 1), (1, 3), (3, 6)])
def test_workers_on_few_connections_work_and_one_line_tells_of_each(
    queue: Queue,
    client_of: Callable[[int], MongoClient[Any]],
    caplog: pytest.LogCaptureFixture,
    until: Callable[..., None],
    connections_and_workers: tuple[int, int],
) -> None:
    connections, workers = connections_and_workers
    with Queue(client_of(connections)["mongoq"], namespace=queue.namespace, grace=0) as crowd:
        handles = [crowd.start(lambda task: None, queues=f"q{number}") for number in range(workers)]
        keys = [queue.new(queue=f"q{number}").key for number in range(workers)]
        until(lambda: all(queue.get(key).finished for key in keys), why="all are done")
        assert not any(handle.stopped for handle in handles)
    told = [record for record in caplog.records if "maxPoolSize" in record.getMessage()]
    assert len(told) == workers - (connections - 1) // 2, "two for each that listens, and one for all the rest"


def test_workers_on_a_client_with_enough_connections_say_nothing(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        queue.start(lambda task: None)
    queue.close()
    assert "maxPoolSize" not in caplog.text
