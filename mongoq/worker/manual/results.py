"""Waiting for what becomes of one task, or of all tasks of some queues."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Final

from mongoq.core.clock import elapsed
from mongoq.core.errors import StorageError, TaskNotFound
from mongoq.core.task import Task
from mongoq.worker.services.watcher import FIRST_POLL, Stream

LONGEST_LOOK: Final = 1.0
"""Seconds between two looks at a task."""
LONGEST_COUNT: Final = 0.5
"""Seconds between two looks at whole queues."""


def finished(read: Callable[[], Task], stream: Stream, patience: float, places: threading.Semaphore) -> Task | None:
    """The task once it has finished; None where it has not within `patience` seconds.

    It is watched by a stream where there is room for one: each costs the server something at every write. Where
    there is none, and as the floor, it is looked at again and again.
    """
    deadline = elapsed() + patience
    task = read()
    if task.finished or patience <= 0:
        return task if task.finished else None
    room = watching = places.acquire(blocking=False)
    try:
        pause = FIRST_POLL
        while not task.finished:
            left = deadline - elapsed()
            if left <= 0:
                return None
            watching = watching and _news(stream)
            if not watching:
                threading.Event().wait(min(left, pause))
                pause = min(LONGEST_LOOK, pause * 2)
            task = _again(read, task)
        return task
    finally:
        stream.end()
        if room:
            places.release()


def await_ms(patience: float) -> int:
    """How long one look at the stream of `finished` may take, so that several of them end at the deadline."""
    if patience == float("inf"):
        return int(LONGEST_LOOK * 1_000)
    return max(1, math.ceil(patience * 1_000 / max(1, math.ceil(patience / LONGEST_LOOK))))


def until(over: Callable[[], bool], patience: float) -> bool:
    """Whether it is over within `patience` seconds."""
    deadline = elapsed() + patience
    pause = FIRST_POLL
    while not over():
        left = deadline - elapsed()
        if left <= 0:
            return False
        threading.Event().wait(min(left, pause))
        pause = min(LONGEST_COUNT, pause * 1.5)
    return True


def _again(read: Callable[[], Task], task: Task) -> Task:
    try:
        return read()
    except TaskNotFound:
        why = "it was deleted, or completed under keep_completed=0, which deletes it too"
        raise TaskNotFound(f"the task {task.key!r} has gone: {why}") from None


def _news(stream: Stream) -> bool:
    """Open the stream, or wait for what it brings; False where it cannot."""
    try:
        if stream.open:
            stream.wait()
        else:
            stream.begin()
    except StorageError:
        return False
    return stream.open
