"""Call batches back, once, when the last member has ended: in two commands, however many members there were.

A batch is sealed when it is closed, and who adds a member afterwards breaks the seal, once the member is there.
Who ends members

1. reads the batch with its seal, then looks whether a member is left, and counts them if not: one command for all
   batches whose members end together;
2. makes the parked callback ready, if it still bears the seal that was read. A sweep lets the members go that were
   kept for it.

A member that was added before the look is seen by it. One that was added after it has broken the seal, or its producer
finds the batch called back, and takes it back. Where there is no seal, 1 seals the batch and begins again.

A sweep looks at each batch every 30 s, for who crashed before 1 or in the middle.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from mongoq.core.errors import InvalidTask
from mongoq.core.judging.follow_up import FollowUp, checked_follow_up
from mongoq.core.lifecycle import TaskState
from mongoq.core.validation import Checker
from mongoq.storage.commands import Aggregate, Bulk, Changing, Document, Op, UpdateMany, find, update_many
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters, flow, indexes, updates
from mongoq.storage.documents.batching import batches
from mongoq.storage.operations.flow.release import settle
from mongoq.storage.operations.recovery.skip_locked import WRITE_LIMIT

LOOKED_AT: Final = 100
"""Batches that one sweep looks at."""
TOGETHER: Final = 1_000
"""Batches that one command looks at."""
_MISSED: Final = "no task was to be enqueued for this end of the batch"


def look(context: Context, keys: Iterable[str], *, within: bool = False) -> Op[bool]:
    """Call back those of these batches that are closed and have no member left; whether any was.

    `within` says that this is in a transaction: one that has no seal is then left to the next sweep, because a member
    that came after the transaction had begun is not seen in it.
    """
    called, wanted = False, list(keys)
    for start in range(0, len(wanted), TOGETHER):
        over = yield from _over(context, wanted[start : start + TOGETHER], within=within)
        unsealed = [row[fields.KEY] for row in over if batches.seal_of(row) is None]
        if unsealed and within:
            at_once = {"$set": {batches.LOOK_AT: context.clock.earliest()}}
            yield from update_many(context.tasks, filters.by_keys(unsealed), at_once)
        elif unsealed:
            yield from update_many(context.tasks, *batches.sealing(unsealed, secrets.token_hex(8)))
            over += yield from _over(context, unsealed)
        called |= yield from _call_back(context, [row for row in over if batches.seal_of(row)], within=within)
    return called


def look_at_due(context: Context) -> Op[tuple[int, bool]]:
    """Look at the batches of which it is time; how many there were, and whether one was called back."""
    now = context.clock.earliest()
    due = batches.due(now)
    found = yield from find(context.tasks, due, only=[fields.STATE], hint=indexes.LOOK_AT, limit=LOOKED_AT)
    keys = [one[fields.KEY] for one in found]
    if not keys:
        return 0, False
    later = {"$set": {batches.LOOK_AT: now + batches.LOOK_EVERY}}
    yield from update_many(context.tasks, {**filters.by_keys(keys), **due}, later)
    parked = [one[fields.KEY] for one in found if one[fields.STATE] == TaskState.PARKED]
    called = yield from look(context, parked)
    for key in [key for key in keys if key not in parked]:  # called back; 10,000 members take 0.3 s
        yield from _let_go(context, key)
    return len(keys), called


def _over(context: Context, keys: Sequence[str], *, within: bool = False) -> Op[list[Document]]:
    pipeline, hint = batches.over(context.tasks, keys), "_id_"
    if not within:  # a transaction takes no `$unionWith`
        pipeline, hint = batches.guarded(context.tasks, pipeline), indexes.MEMBERS
    rows: list[Document] = yield Aggregate(context.tasks, pipeline, hint=hint)
    return rows


def _call_back(context: Context, over: Sequence[Document], *, within: bool) -> Op[bool]:
    """Make the callbacks ready of batches that are over, as long as each bears the seal that was read."""
    if not over:
        return False
    ends = [_end(context, row) for row in over]
    done: int = yield Bulk(
        context.tasks, [one.write for one in ends], ordered=False, timeout=None if within else WRITE_LIMIT
    )
    silent = [row for row, one in zip(over, ends, strict=True) if not one.runs and flow.is_awaited(row)]
    if done and silent:
        yield from settle(context, [row[fields.KEY] for row in silent])
        yield from look(context, {row[fields.BATCH] for row in silent if fields.BATCH in row}, within=within)
    return bool(done)


class _End(NamedTuple):
    """What becomes of the callback of a batch that is over."""

    write: Changing
    runs: bool


def _end(context: Context, row: Document) -> _End:
    """Make the callback ready that this end of the batch asks for; without one, complete it unrun."""
    now, key = context.clock.earliest(), row[fields.KEY]
    counts = batches.counts_of(row)
    told: dict[str, Any] = {fields.BATCH: key} | {state.value: count for state, count in counts.items()}
    well = counts[TaskState.COMPLETED] == sum(counts.values())
    where = batches.sealed(key, str(batches.seal_of(row)))
    callback = _callback(row[fields.CALLBACK], well=well)
    if callback is not None:
        return _End(Changing(where, batches.becoming(callback, told, now)), runs=True)
    keep = context.options.policy.keep_completed
    ended = updates.closed(TaskState.COMPLETED, now, keep, awaited=flow.is_awaited(row))
    ended["$set"][fields.NOTE] = _MISSED
    return _End(Changing(where, batches.without_callback(ended, told, now)), runs=False)


def _callback(known: Mapping[str, Any], *, well: bool) -> FollowUp | None:
    spec = known.get("then") if well else known.get("on_failure") or known.get("then")
    return None if spec is None else checked_follow_up(Checker(InvalidTask), "then", spec)


def _let_go(context: Context, key: str) -> Op[None]:
    """Count the days of the members, which were kept for the callback."""
    now = context.clock.now()
    kept: list[Document] = yield Aggregate(context.tasks, batches.keeps(key), hint=indexes.ENDED_MEMBERS)
    for row in kept:
        where, update = batches.dating(key, row["_id"], now)
        yield UpdateMany(context.tasks, where, update, hint=indexes.ENDED_MEMBERS)
    yield from update_many(context.tasks, batches.called(key), {"$unset": {batches.LOOK_AT: ""}})
