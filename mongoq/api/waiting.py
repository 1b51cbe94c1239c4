"""Verbs about unfinished tasks: how many there are, whether there are any, and waiting for the end of one or all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from mongoq.api.base import Base
from mongoq.api.verb import verb
from mongoq.core.clock import elapsed
from mongoq.core.judging.ended import error_of
from mongoq.core.lifecycle import LIVE
from mongoq.core.requests import checked_key, checked_names, checked_seconds
from mongoq.core.tasks.task import Task
from mongoq.core.validation import Duration
from mongoq.storage.commands import Op
from mongoq.storage.control import Pause
from mongoq.storage.documents import filters
from mongoq.storage.operations import queries

FIRST_LOOK: Final = 0.02
LONGEST_LOOK: Final = 0.5
"""Seconds between two looks at whole queues."""


@verb
def size(base: Base, queue: str | None = None) -> Op[int]:
    """Return how many tasks of one queue, or of all, are unfinished: ready, scheduled, running or parked.

    All states are counted at one moment; on a standalone server, one after the other.

    Raises:
        ConfigurationError: `queue` is not the name of a queue.
    """
    checked_names(queue)
    return (yield from base.read(queries.size(base.context, queue, LIVE)))


@verb
def empty(base: Base, queues: str | Sequence[str] | None = None, *, prefix: str | None = None) -> Op[bool]:
    """Tell whether these queues (default: all; or those whose names begin with `prefix`) have no unfinished task.

    Raises:
        ConfigurationError: an argument is not acceptable.
    """
    names = checked_names(queues, prefix)
    return (yield from base.read(queries.empty(base.context, filters.named(names, prefix))))


@verb
def join(
    base: Base,
    queues: str | Sequence[str] | None = None,
    *,
    prefix: str | None = None,
    timeout: Duration | None = None,
) -> Op[bool]:
    """Wait until `empty` with the same arguments is true; False if it was not within `timeout`.

    It looks twice a second. A task that waits for a retry or for its time is unfinished, so it is waited for.

    Raises:
        ConfigurationError: an argument is not acceptable.
    """
    named = filters.named(checked_names(queues, prefix), prefix)
    over = lambda: base.read(queries.empty(base.context, named))  # noqa: E731
    return (yield from _until(over, checked_seconds("timeout", timeout)))


@verb
def wait(base: Base, task: Task | str, *, timeout: Duration | None = None, check: bool = False) -> Op[Task | None]:
    """Wait until a task (or the one with this key) has finished, and return it; None if it has not within `timeout`.

    Its `state` says how it ended, `result` what its handler returned, `failure` and `last_error` why it failed. With
    `check`, a task that did not complete raises an error of its own kind. A change stream tells of the end within
    milliseconds; all calls that wait through one queue object share it. In case it fails, the tasks are also read every
    5 s; every second on a standalone server, which has no change streams.

    Raises:
        TaskNotFound: there is no such task, or it has gone meanwhile: it was deleted, or completed under
            `keep_completed=0`, which deletes it too. Keep a task whose end you wait for, if only for a minute.
        MaxRetriesExceeded, TaskFailed, TaskCancelled, TaskExpired: with `check`, it ended so; each is a
            TaskNotCompleted, whose `task` is the task.
        QueueClosed: the queue was closed meanwhile; noticed within a second.
        ConfigurationError: an argument is not acceptable.
    """
    found = yield from ended(base, task.key if isinstance(task, Task) else checked_key(task), timeout)
    error = error_of(found) if check and found is not None else None
    if error is not None:
        raise error
    return found


def ended(base: Base, key: str, timeout: Duration | None) -> Op[Task | None]:
    """The task with this key once it has finished; None where it has not by then."""
    patience = checked_seconds("timeout", timeout)

    def read() -> Op[Task]:
        return base.read(queries.get(base.context, key, majority=True))

    found: Task | None = yield from read()
    if found is not None and not found.finished:
        hand = (yield from base.hand()) if patience > 0 else None
        found = None if hand is None else (yield from hand.finished(key, read, elapsed() + patience))
    return found


def _until(over: Callable[[], Op[bool]], patience: float) -> Op[bool]:
    """Whether it is over within `patience` seconds."""
    deadline = elapsed() + patience
    pause = FIRST_LOOK
    while not (yield from over()):
        left = deadline - elapsed()
        if left <= 0:
            return False
        yield Pause(min(left, pause))
        pause = min(LONGEST_LOOK, pause * 1.5)
    return True
