"""Requeue finished tasks in their own queue, and redrive dead letters to the queue that they came from, in batches.

A task is left out when an unfinished one has its `unique` value by now. Tasks with such a value are written by one
statement each: an update of many stops at the first refusal and does not say how many documents it had changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from mongoq.core.choosing.selection import TaskFilter
from mongoq.core.errors import DuplicateTask, WrongState
from mongoq.core.lifecycle import Event, TaskState, sources
from mongoq.core.stats import OnProgress
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import Bulk, Changing, Document, Filter, Find, Op, Update, update_many
from mongoq.storage.context import Context
from mongoq.storage.control import Pause
from mongoq.storage.documents import fields, filters, updates
from mongoq.storage.operations.long_work.patience import patiently
from mongoq.storage.operations.long_work.tally import Tally
from mongoq.storage.operations.looking.selecting import selected
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
    error: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    on_progress: OnProgress | None = None,
) -> Op[int]:
    """Make finished tasks ready again; returns the number."""
    chosen = selected(TaskFilter(queue, state, None, where, name, error, since, until))
    with Tally("rerun", on_progress) as tally:
        yield from _Requeue(context, chosen, tally).all(keys)
    return tally.done


def redrive(
    context: Context,
    queue: str,
    keys: Sequence[str] | None,
    rate: float | None = None,
    on_progress: OnProgress | None = None,
) -> Op[int]:
    """Move the tasks of an error queue back to the queues that they came from, ready; returns the number.

    `rate`: at most so many a second, by pauses between small batches.
    """
    with Tally("redrive", on_progress) as tally:
        yield from _Requeue(context, filters.away(queue), tally, home=True, rate=rate).all(keys)
    return tally.done


class _Requeue:
    """Makes tasks that pass a filter ready again, in batches, at most `rate` a second."""

    def __init__(
        self, context: Context, guard: Filter, tally: Tally, *, home: bool = False, rate: float | None = None
    ) -> None:
        self._context = context
        self._guard = guard
        self._tally = tally
        self._home = home
        self._rate = rate
        self._size = BATCH if rate is None else max(1, min(BATCH, int(rate)))

    def all(self, keys: Sequence[str] | None) -> Op[None]:
        """Requeue those with these keys; None: all, in portions."""
        if keys is not None:
            # The tasks were not read: any of them may have a `unique` value.
            yield from self._batches(keys, self._each)
            return
        since = self._context.clock.latest()
        guard, left_out = self._guard, 0
        only = [fields.KEY, fields.UNIQUE]
        while True:
            most = MOST_READ + left_out  # those that were left out are found again
            found: list[Document] = yield from patiently(Find(self._context.tasks, guard, only=only, most=most))
            before = self._tally.done
            yield from self._batches(found, self._batch)
            if len(found) < most:
                return
            left_out = len(found) - (self._tally.done - before)
            # A task that has failed again is not requeued twice.
            guard = self._guard = {**guard, **filters.not_since(since)}

    def _batches(self, found: Sequence[Any], write: Callable[[Sequence[Any]], Op[int]]) -> Op[None]:
        for start in range(0, len(found), self._size):
            if start and self._rate is not None:
                yield Pause(self._size / self._rate)
            batch = found[start : start + self._size]
            yield from self._tally.write(batch, write(batch))

    def _batch(self, batch: Sequence[Document]) -> Op[int]:
        plain = [document[fields.KEY] for document in batch if fields.UNIQUE not in document]
        unique = [document[fields.KEY] for document in batch if fields.UNIQUE in document]
        guard = filters.guarded(plain, self._guard)
        done = (yield from update_many(self._context.tasks, guard, self._update())) if plain else 0
        if unique:
            done += yield from self._each(unique)
        return done

    def _each(self, keys: Sequence[str]) -> Op[int]:
        update = self._update()
        changes = [Changing(filters.guarded([key], self._guard), update) for key in keys]
        try:
            matched: int = yield Bulk(self._context.tasks, changes, ordered=False)
        except PartlyWritten as partly:
            for error in partly.errors.values():
                if not isinstance(error, KeyTaken):
                    raise error from partly
            return partly.matched
        return matched

    def _update(self) -> list[Update]:
        return updates.rerun(self._context.clock.latest(), home=self._home)
