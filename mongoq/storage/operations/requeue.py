"""Requeue finished tasks in their own queue, and redrive dead letters to the queue that they came from, in batches.

A task is left out when an unfinished one has its `unique` value by now. Tasks with such a value are written by one
statement each: an update of many stops at the first refusal and does not say how many documents it had changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mongoq.core.errors import DuplicateTask, WrongState
from mongoq.core.lifecycle import Event, TaskState, sources
from mongoq.core.stats import OnProgress
from mongoq.core.task import Task
from mongoq.storage.commands import Bulk, Changing, Document, Filter, Find, Op, Update, update_many
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters, updates
from mongoq.storage.operations.long_work.patience import patiently
from mongoq.storage.operations.long_work.tally import Tally
from mongoq.storage.operations.queries import get
from mongoq.storage.refusals import KeyTaken, PartlyWritten

BATCH: Final = 1_000
MOST_READ: Final = 50_000
"""How many keys are held in memory at a time."""


def rerun(context: Context, key: str) -> Op[Task]:
    """Make a finished task ready again.

    Raises WrongState when its state does not allow it, and DuplicateTask when its `unique` value is taken.
    """
    now = context.clock.latest()
    where = {**filters.by_keys([key]), **filters.in_states(sources(Event.RERUN))}
    try:
        done = yield from update_many(context.tasks, where, updates.rerun(now))
    except KeyTaken as taken:
        task = yield from get(context, key)
        message = f"unique: an unfinished task has {task.unique!r} already"
        raise DuplicateTask(message, unique=task.unique) from taken
    task = yield from get(context, key)
    if not done:
        allowed = ", ".join(sources(Event.RERUN))
        raise WrongState(key, task.state, f"only a finished task that did not complete can be rerun ({allowed})")
    return task


def rerun_all(
    context: Context,
    keys: Sequence[str] | None,
    queue: str | None,
    state: TaskState,
    where: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    on_progress: OnProgress | None = None,
) -> Op[int]:
    """Make finished tasks ready again; returns the number."""
    now = context.clock.latest()
    chosen = {**filters.finished_as(state, queue), **filters.matching(where=where, name=name)}
    with Tally("rerun", on_progress) as tally:
        yield from _rerun(context, chosen, keys, updates.rerun(now), tally)
    return tally.done


def redrive(context: Context, queue: str, keys: Sequence[str] | None, on_progress: OnProgress | None = None) -> Op[int]:
    """Move the tasks of an error queue back to the queues that they came from, ready; returns the number."""
    now = context.clock.latest()
    with Tally("redrive", on_progress) as tally:
        yield from _rerun(context, filters.away(queue), keys, updates.rerun(now, home=True), tally)
    return tally.done


def _rerun(context: Context, guard: Filter, keys: Sequence[str] | None, update: list[Update], tally: Tally) -> Op[None]:
    if keys is None:
        yield from _rerun_all(context, guard, update, tally)
        return
    for start in range(0, len(keys), BATCH):
        # The tasks were not read: any of them may have a `unique` value.
        batch = keys[start : start + BATCH]
        yield from tally.write(batch, _rerun_each(context, guard, batch, update))


def _rerun_all(context: Context, guard: Filter, update: list[Update], tally: Tally) -> Op[None]:
    """Requeue in portions; tasks that were left out are found again, so the next portion is larger by their number."""
    now = context.clock.latest()
    left_out = 0
    only = [fields.KEY, fields.UNIQUE]
    while True:
        most = MOST_READ + left_out
        found: list[Document] = yield from patiently(Find(context.tasks, guard, only=only, most=most))
        before = tally.done
        for start in range(0, len(found), BATCH):
            batch = found[start : start + BATCH]
            yield from tally.write(batch, _rerun_batch(context, guard, batch, update))
        if len(found) < most:
            return
        left_out = len(found) - (tally.done - before)
        guard = {**guard, **filters.not_since(now)}  # a task that has failed again is not requeued twice


def _rerun_batch(context: Context, guard: Filter, batch: list[Document], update: list[Update]) -> Op[int]:
    plain = [document[fields.KEY] for document in batch if fields.UNIQUE not in document]
    unique = [document[fields.KEY] for document in batch if fields.UNIQUE in document]
    done = (yield from update_many(context.tasks, filters.guarded(plain, guard), update)) if plain else 0
    if unique:
        done += yield from _rerun_each(context, guard, unique, update)
    return done


def _rerun_each(context: Context, guard: Filter, keys: Sequence[str], update: list[Update]) -> Op[int]:
    try:
        matched: int = yield Bulk(
            context.tasks, [Changing(filters.guarded([key], guard), update) for key in keys], ordered=False
        )
    except PartlyWritten as partly:
        for error in partly.errors.values():
            if not isinstance(error, KeyTaken):
                raise error from partly
        return partly.matched
    return matched
