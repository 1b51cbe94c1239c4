"""What docs/limits.md presumes."""

from __future__ import annotations

from mongoq import Queue

queue = Queue(namespace="limits")


def check() -> None:
    assert [one.name for one in queue.limits()] == ["account", "host", "openai", "stripe", "tenant"]
    assert queue.size() == 2
