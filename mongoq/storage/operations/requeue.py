"""Running failed tasks again, where they are or where they came from, in guarded batches.

A task whose `unique` value an unfinished one has by now is passed over. Each with such a value is written by a
statement of its own: an update of many stops at the first that is refused, and does not tell how many came before.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from pymongo import UpdateOne

from mongoq.storage.commands import Command, Document, Filter, Op, Update, update_many
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters, updates
from mongoq.storage.drivers.errors import KeyTaken, PartlyWritten

BATCH: Final = 1_000
MOST_READ: Final = 50_000
"""So many keys are held in memory at a time."""
FIND_LIMIT: Final = timedelta(minutes=10)
"""For finding them: millions may have failed."""


def retry_failed(context: Context, keys: Sequence[str] | None, queue: str | None) -> Op[int]:
    """Make failed tasks ready again; how many were."""
    now = context.clock.now()
    return (yield from _rerun(context, filters.failed(queue), keys, now, updates.rerun(now)))


def send_home(context: Context, queue: str, keys: Sequence[str] | None) -> Op[int]:
    """Make the tasks of an error queue ready again where they came from; how many were."""
    now = context.clock.now()
    return (yield from _rerun(context, filters.away(queue), keys, now, updates.rerun(now, home=True)))


def _rerun(context: Context, guard: Filter, keys: Sequence[str] | None, now: datetime, update: list[Update]) -> Op[int]:
    if keys is None:
        return (yield from _rerun_all(context, guard, now, update))
    done = 0
    for start in range(0, len(keys), BATCH):
        # Nothing is known of them: any may have a `unique` value.
        done += yield from _rerun_each(context, guard, keys[start : start + BATCH], update)
    return done


def _rerun_all(context: Context, guard: Filter, now: datetime, update: list[Update]) -> Op[int]:
    """Portion by portion; those that are passed over are found again, and make the next portion larger."""
    total = passed = 0
    only = [fields.KEY, fields.UNIQUE]
    while True:
        most = MOST_READ + passed
        options: dict[str, Any] = {"projection": only, "limit": most}
        found: list[Document] = yield Command(context.tasks, "find", (guard,), options, limit=FIND_LIMIT)
        done = 0
        for start in range(0, len(found), BATCH):
            batch = found[start : start + BATCH]
            plain = [document[fields.KEY] for document in batch if fields.UNIQUE not in document]
            unique = [document[fields.KEY] for document in batch if fields.UNIQUE in document]
            if plain:
                done += yield from update_many(context.tasks, filters.guarded(plain, guard), update)
            if unique:
                done += yield from _rerun_each(context, guard, unique, update)
        total += done
        if len(found) < most:
            return total
        passed = len(found) - done
        guard = {**guard, **filters.not_since(now)}  # what has failed again by now has had its turn


def _rerun_each(context: Context, guard: Filter, keys: Sequence[str], update: list[Update]) -> Op[int]:
    writes = [UpdateOne(filters.guarded([key], guard), update, hint="_id_") for key in keys]
    try:
        reply: Any = yield Command(context.tasks, "bulk_write", (writes,), {"ordered": False})
    except PartlyWritten as partly:
        for error in partly.errors.values():
            if not isinstance(error, KeyTaken):
                raise error from partly
        return partly.matched
    return int(reply.matched_count)
