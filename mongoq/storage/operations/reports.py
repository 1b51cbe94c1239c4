"""Write what attempts say of their progress: many in one command, each guarded by its token and its number."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from mongoq.core.tasks.progress import Unwritten
from mongoq.storage.commands import Bulk, Changing, Filter, Op
from mongoq.storage.context import Context
from mongoq.storage.documents import filters, progress
from mongoq.storage.operations.recovery.skip_locked import write_skipping_locked


class Saying(NamedTuple):
    """What one attempt says."""

    key: str
    token: str
    attempt: int
    """The number of the attempt."""
    unwritten: Unwritten


def write(context: Context, sayings: Sequence[Saying]) -> Op[list[str]]:
    """Store these; returns the keys of the tasks that an open transaction holds, whose sayings were left out.

    What is refused, because the lease was lost or something newer is there, counts as stored: no later try would be
    any better.
    """
    by_key = {saying.key: saying for saying in sayings}
    tokens = [saying.token for saying in sayings]

    def guard(keys: Sequence[str]) -> Filter:
        return filters.held(keys, tokens)

    def write_some(keys: Sequence[str], limit: timedelta) -> Op[int]:
        matched: int = yield Bulk(
            context.tasks, [_change(context, by_key[key]) for key in keys], ordered=False, timeout=limit
        )
        return matched

    return (yield from write_skipping_locked(context.tasks, list(by_key), guard, write_some)).skipped


def _change(context: Context, saying: Saying) -> Changing:
    where = filters.held([saying.key], [saying.token]) | progress.older(saying.unwritten, saying.attempt)
    return Changing(where, {"$set": progress.written(saying.unwritten, saying.attempt, context.clock.now())})
