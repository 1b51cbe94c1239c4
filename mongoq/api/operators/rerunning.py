"""Set finished tasks going again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import inf
from typing import Any

from mongoq.api.base import Base
from mongoq.api.verb import verb
from mongoq.core.choosing.selection import checked_selection
from mongoq.core.lifecycle import Event, TaskState, sources
from mongoq.core.options import checked_keys
from mongoq.core.requests import checked_key, checked_listener
from mongoq.core.stats import OnProgress
from mongoq.core.tasks.task import Task
from mongoq.core.validation import QUEUE_NAME, Checker
from mongoq.storage.commands import Op
from mongoq.storage.operations import requeue
from mongoq.storage.operations.flow import graph


@verb
def rerun(base: Base, key: str, *, children: bool = False) -> Op[Task]:
    """Run a failed, cancelled or expired task again, with a fresh count of attempts; return it as it is then.

    Its `run_at` is now, so it comes after the waiting tasks of its priority. An expiry that has passed is removed.

    Args:
        children: the children that were cancelled because it did not complete are parked for it again, and theirs for
            them.

    Raises:
        TaskNotFound: no task has this key.
        WrongState: the task is not finished, or has completed.
        DuplicateTask: an unfinished task has its `unique` value by now.
    """
    operation = graph.rerun_with_children if children else requeue.rerun
    return (yield from base.send(operation(base.context, checked_key(key))))


@verb
def rerun_all(
    base: Base,
    *,
    keys: Sequence[str] | None = None,
    queue: str | None = None,
    state: TaskState | str = TaskState.FAILED,
    name: str | None = None,
    where: Mapping[str, Any] | None = None,
    error: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    on_progress: OnProgress | None = None,
) -> Op[int]:
    """Run the failed tasks that match again, as `rerun` does; without arguments, all. Return how many there were.

    Tasks whose `unique` value another unfinished task has by now are left alone. It works in batches of 1,000 and calls
    `on_progress` after each.

    Args:
        keys: only these; those that are in another state are left alone.
        state: `"cancelled"` or `"expired"` instead of failed ones.
        error: whose last attempt failed with this type of error, such as `"TimeoutError"`.
        since, until: that ended at or after `since`, and before `until`.

    Raises:
        ConfigurationError: an argument is not acceptable.
    """
    checker = Checker()
    checked_keys(checker, keys)
    checker.one_of("state", state, [one.value for one in sources(Event.RERUN)])
    checker.finish()
    chosen = checked_selection(queue=queue, state=state, name=name, where=where, error=error, since=since, until=until)
    checked_listener(on_progress)
    op = requeue.rerun_all(
        base.context, keys, queue, TaskState(state), where, name=name, error=chosen.error, since=chosen.since,
        until=chosen.until, on_progress=on_progress,
    )  # fmt: skip
    return (yield from base.send(op))


@verb
def redrive(
    base: Base,
    queue: str,
    keys: Sequence[str] | None = None,
    *,
    rate: float | None = None,
    on_progress: OnProgress | None = None,
) -> Op[int]:
    """Send the tasks of an error queue back to the queues they came from (`moved_from`); return how many there were.

    They are ready at once, with a fresh count of attempts, and keep their errors.

    Args:
        queue: the error queue, such as `"mail/err"`.
        keys: only these. Default: all that are ready, scheduled or failed there.
        rate: at most so many a second, so that tasks that failed together do not come back together. The call takes as
            long as that needs; if it is interrupted, the rest stays.
        on_progress: called after each batch of 1,000, or with `rate` every second.

    Raises:
        ConfigurationError: an argument is not acceptable.
    """
    checker = Checker()
    checker.matching("queue", queue, QUEUE_NAME)
    checked_keys(checker, keys)
    if rate is not None and not (isinstance(rate, int | float) and 0 < rate < inf):
        checker.refuse("rate", rate, "a number of tasks a second, more than 0")
    checker.finish()
    checked_listener(on_progress)
    return (yield from base.send(requeue.redrive(base.context, queue, keys, rate, on_progress)))
