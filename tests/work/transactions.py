"""What the tests of transactions share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mongoq import Queue
from mongoq.embedded.server import EmbeddedServer

MakeQueue = Callable[..., Queue]


def orders_of(queue: Queue) -> Any:
    """Give the application's own collection beside a queue."""
    return queue._base.driver.connection.database.client["shop"][f"{queue.namespace}.orders"]


def buying(queue: Queue, server: EmbeddedServer, **tags: Any) -> str:
    return queue.new({"uri": server.uri, **tags}).key
