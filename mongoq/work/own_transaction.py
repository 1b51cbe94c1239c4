"""A handler's own transaction, as its attempt sees it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mongoq.model import Task


@contextmanager
def apart(task: Task) -> Iterator[None]:
    """Leave the lease of a task alone during the block; without an error the block has completed the task."""
    attempt = task.attempt
    if attempt is None:  # claimed by hand
        yield
        return
    committed = False
    attempt.pause()
    try:
        yield
        committed = True
    finally:
        attempt.resume(committed=committed)
