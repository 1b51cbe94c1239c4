"""What the tests of producers share."""

from __future__ import annotations

from mongoq import Queue


def numbers(queue: Queue) -> list[int]:
    return sorted(task.tags["n"] for task in queue.tasks(limit=None))
