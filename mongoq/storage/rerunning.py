"""Running failed tasks again, where they are or where they came from, in guarded batches."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from mongoq.storage import documents, filters, updates
from mongoq.storage.commands import Command, Document, Filter, Op, Update, update_many
from mongoq.storage.context import Context
from mongoq.storage.failures import KeyTaken

BATCH: Final = 1_000
FIND_LIMIT: Final = timedelta(minutes=10)
"""For finding them: millions may have failed."""


def retry_failed(context: Context, keys: Sequence[str] | None, queue: str | None) -> Op[int]:
    """Make failed tasks ready again; how many were."""
    return (yield from _rerun(context, filters.failed(queue), keys, updates.rerun(context.clock.now())))


def send_home(context: Context, queue: str, keys: Sequence[str] | None) -> Op[int]:
    """Make the tasks of an error queue ready again where they came from; how many were."""
    return (yield from _rerun(context, filters.away(queue), keys, updates.rerun(context.clock.now(), home=True)))


def _rerun(context: Context, guard: Filter, keys: Sequence[str] | None, update: list[Update]) -> Op[int]:
    if keys is None:
        options = {"projection": [documents.KEY]}
        found: list[Document] = yield Command(context.tasks, "find", (guard,), options, limit=FIND_LIMIT)
        keys = [document[documents.KEY] for document in found]
    count = 0
    for start in range(0, len(keys), BATCH):
        batch = keys[start : start + BATCH]
        try:
            count += yield from update_many(context.tasks, filters.guarded(batch, guard), update)
        except KeyTaken:
            count += yield from _singly(context, guard, batch, update)
    return count


def _singly(context: Context, guard: Filter, keys: Sequence[str], update: list[Update]) -> Op[int]:
    """One by one, passing over those whose `unique` value an unfinished task has by now."""
    count = 0
    for key in keys:
        try:
            count += yield from update_many(context.tasks, filters.guarded([key], guard), update)
        except KeyTaken:
            continue
    return count
