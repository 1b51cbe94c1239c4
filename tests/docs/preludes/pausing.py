"""What docs/pausing.md presumes."""

from __future__ import annotations

from datetime import timedelta

from mongoq import Queue

queue = Queue(namespace="pausing")


def check() -> None:
    assert sorted(map(str, queue.pauses())) == ["everything", "tasks named charge", "tasks with tenant='acme'"]
