"""Queues on a client of the application's own."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from mongoq import Queue
from mongoq.embedded.server import EmbeddedServer

Client = MongoClient[dict[str, Any]]


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[Client]:
    """Give the application's own client."""
    with MongoClient[dict[str, Any]](server.uri) as client:
        yield client


@pytest.fixture
def queue(client: Client) -> Iterator[Queue]:
    with Queue(client, namespace=f"t-{secrets.token_hex(4)}") as queue:
        queue.init()
        yield queue


@pytest.fixture
def orders(client: Client, queue: Queue) -> Any:
    """Give a collection of the application's."""
    return client["shop"][f"{queue.namespace}.orders"]
