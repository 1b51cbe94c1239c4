"""Reads of many documents by key take one command."""

from __future__ import annotations

from typing import Any

from pymongo import MongoClient, monitoring

from mongoq import Queue
from mongoq.embedded.server import EmbeddedServer
from mongoq.storage.drivers.blocking import BlockingDriver
from mongoq.storage.operations import leases

COUNT = 150
"""More than the first reply of the server has by itself."""


class Heard(monitoring.CommandListener):
    def __init__(self) -> None:
        self.names: list[str] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.names.append(event.command_name)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


def test_a_look_at_the_leases_of_many_tasks_is_one_command(store: Any, server: EmbeddedServer) -> None:
    heard = Heard()
    with (
        MongoClient[dict[str, Any]](server.uri, event_listeners=[heard]) as client,
        Queue(client, namespace=store.context.namespace) as queue,
    ):
        queue.new_many([{}] * COUNT)
        claims = [(task.key, str(task.token)) for task in queue.claim_many(limit=COUNT)]
        driver: BlockingDriver = queue._base.driver
        heard.names.clear()
        assert len(driver.run(leases.look(store.context, claims))) == COUNT
        assert heard.names == ["find"]
