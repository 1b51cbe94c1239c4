"""What the tests of flow share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mongoq import NewTask
from proving.tempos import Face

CALLBACK = NewTask({"callback": True})


def state(queue: Face, key: str) -> str:
    return str(queue.get(key).state)


@contextmanager
def opened(queue: Face, **options: Any) -> Iterator[Face]:
    """An open batch whose verbs block."""
    with queue.within(queue.whole.batch(**options)) as batch:
        yield Face(batch, queue.loop)


def end(queue: Face, result: Any = None, *, fail: bool = False) -> str:
    """Claim the next task and end it; its key."""
    task = queue.try_claim()
    assert task is not None
    if fail:
        queue.fail(task, "no")
    else:
        queue.complete(task, result)
    return str(task.key)
