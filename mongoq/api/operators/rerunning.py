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
    """Run a failed, cancelled or expired task again, with a fresh count of attempts, and return it as it is then.

    It is due now: its `run_at` is the present, so it stands behind what waits with its priority. An expiry that has
    passed is taken away.

    Args:
        children: the tasks that were cancelled because it did not complete wait for it once more, and theirs for them.

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
    """Run failed tasks again as `rerun` does: by keys, queue, name of a function, tags or error, or all; how many.

    `state` chooses cancelled or expired ones instead. Those whose `unique` value an unfinished task has by now are left
    alone, like those in another state. `on_progress` hears of each batch of 1,000.

    Args:
        error: whose last attempt failed with this type of error, such as `"TimeoutError"`.
        since, until: that ended from then on, and before then.
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
    """Send the tasks of an error queue back to where they came from (`moved_from`); how many were.

    All that are ready, scheduled or failed there, or only those with these keys. They are ready at once, with a
    fresh count of attempts, and keep their errors. With `rate` at most so many are sent a second, so that what failed
    together does not come back together: it takes as long, and where it is broken off the rest stays. `on_progress`
    hears of each batch of 1,000, or of a second's tasks.
    """
    checker = Checker()
    checker.matching("queue", queue, QUEUE_NAME)
    checked_keys(checker, keys)
    if rate is not None and not (isinstance(rate, int | float) and 0 < rate < inf):
        checker.refuse("rate", rate, "a number of tasks a second, more than 0")
    checker.finish()
    checked_listener(on_progress)
    return (yield from base.send(requeue.redrive(base.context, queue, keys, rate, on_progress)))
