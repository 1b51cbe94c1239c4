"""What docs/monitoring.md presumes: a queue."""

from __future__ import annotations

from prometheus_client import REGISTRY as REGISTERED

from mongoq import Queue

queue = Queue()


def check() -> None:
    assert REGISTERED.get_sample_value("mongoq_server_up") == 1
    queue.close()
