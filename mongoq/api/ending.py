"""Verbs that end claimed tasks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mongoq.api.base import Base
from mongoq.api.verb import verb
from mongoq.core.failures import message_of
from mongoq.core.judging.verdict import Outcome, Raised, Released, Returned
from mongoq.core.requests import checked_target, checked_tasks
from mongoq.core.signals import Fail, Move, Retry, Snooze
from mongoq.core.tasks.task import Task
from mongoq.core.validation import Duration
from mongoq.storage.commands import Op
from mongoq.storage.operations import bulk, finish


@verb
def complete(base: Base, tasks: Task | Iterable[Task], result: Any = None) -> Op[None]:
    """End a claimed task, or several, as completed, each with this result, kept for `keep_completed`.

    With one task the result may be all that a handler may return: new tasks, or a Modification, which take effect
    together with the completion.

    Raises:
        LeaseLost: tasks are not held any more. `keys` names them, and the others are completed.
        AlreadyFinished: all of these have ended. The same ending, sent again after a lost reply, is accepted.
        InvalidTask: the result, or what follows, cannot be stored; nothing was written.
        DependencyError: the Modification was refused; nothing was written.
    """
    yield from _end(base, tasks, Returned(result))


@verb
def fail(base: Base, tasks: Task | Iterable[Task], error: BaseException | str) -> Op[None]:
    """End a claimed task, or several, as failed, whatever retries are left; they are kept for `keep_failed`.

    `error` is kept as `last_error`: an exception with its traceback, or a text. If the queue has an `error_queue`,
    the tasks go there instead.

    Raises:
        LeaseLost, AlreadyFinished: as from `complete`.
    """
    signal = Fail(message_of(error))
    signal.__cause__ = error if isinstance(error, BaseException) else None
    yield from _end(base, tasks, Raised(signal))


@verb
def retry(base: Base, task: Task, error: BaseException | str, *, delay: Duration | None = None) -> Op[None]:
    """Count the attempt as failed: run the task again after `delay`, by default its backoff.

    If its retries are used up, it ends as failed. `error` is kept as by `fail`.

    Raises:
        LeaseLost, AlreadyFinished: as from `complete`.
        ConfigurationError: `delay` is no duration.
    """
    signal = Retry(message_of(error), delay=delay)
    signal.__cause__ = error if isinstance(error, BaseException) else None
    yield from _end(base, task, Raised(signal))


@verb
def snooze(base: Base, tasks: Task | Iterable[Task], delay: Duration) -> Op[None]:
    """Run claimed tasks again after `delay`; the attempt is not charged.

    Raises:
        LeaseLost, AlreadyFinished: as from `complete`.
        ConfigurationError: `delay` is no duration.
    """
    yield from _end(base, tasks, Raised(Snooze(delay)))


@verb
def release(base: Base, tasks: Task | Iterable[Task]) -> Op[None]:
    """Give claimed tasks back: they are ready at once, in their old places; the attempt is not charged.

    Raises:
        LeaseLost, AlreadyFinished: as from `complete`.
    """
    yield from _end(base, tasks, Released())


@verb
def move(base: Base, tasks: Task | Iterable[Task] | str, to: str) -> Op[int]:
    """Move tasks to the queue `to`, each with a fresh count of attempts; return how many were moved.

    Claimed tasks are ready there at once. Given a key, it moves the waiting task with this key, whose `run_at` stays.

    Raises:
        LeaseLost, AlreadyFinished: claimed tasks are not held any more, as from `complete`.
        TaskNotFound: no task has this key.
        WrongState: the task with this key runs or has finished.
        ConfigurationError: `to` is not the name of a queue.
    """
    checked_target(to)
    if isinstance(tasks, str):
        return (yield from base.write(bulk.move(base.context, tasks, to)))
    return (yield from _end(base, tasks, Raised(Move(to))))


def _end(base: Base, tasks: Task | Iterable[Task], ending: Outcome) -> Op[int]:
    held = checked_tasks(tasks)
    with base.ending(held):
        yield from base.write(finish.settle(base.context, held, ending, base.claimant))
    return len(held)
