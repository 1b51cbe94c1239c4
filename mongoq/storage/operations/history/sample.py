"""Look how deep the queues are, for all who ask: one process at a time, by a lease in `<namespace>.control`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from mongoq.core.clock import elapsed
from mongoq.core.lifecycle import LIVE
from mongoq.core.stats import QueueStats
from mongoq.history.point import HistoryStep
from mongoq.history.sums import Sums
from mongoq.storage.commands import Bulk, Document, FindAndUpdate, InsertOne, Op, UpdateMany, find
from mongoq.storage.context import Context
from mongoq.storage.documents import fields
from mongoq.storage.documents.decoding import LONG_AGO
from mongoq.storage.operations import queries
from mongoq.storage.operations.fleet.unhandled import unhandled
from mongoq.storage.operations.history import rows
from mongoq.storage.operations.history.write import BATCH, LIMIT
from mongoq.storage.operations.limits import counting
from mongoq.storage.refusals import KeyTaken

LEASE: Final = "sampler"
"""The document of `<namespace>.control` that says who samples, and until when."""
RECENT: Final = timedelta(minutes=5)
"""Waits and runs are those of about this time."""
_BY, _UNTIL = "by", "until"


class Counted(NamedTuple):
    """What a look at all queues brought."""

    at: datetime
    took: float
    """Seconds."""
    queues: dict[str, QueueStats]
    minutes: dict[datetime, dict[str, Sums]]
    """What workers did in the last minutes, by queue."""
    since: datetime
    """The first of these minutes."""
    limits: Mapping[str, counting.Sums]
    """What runs and waits under each limit."""


Depth = tuple[str, Mapping[str, float], int | None]
"""A queue, its figures, and how many tasks came; None: not known."""


def lease(context: Context, worker: str, lasts: timedelta) -> Op[bool]:
    """Take or keep the lease; whether this process is the one that samples."""
    now = context.clock.now()
    where = {fields.KEY: LEASE, "$or": [{_BY: worker}, {_UNTIL: {"$lt": now}}]}
    update = {"$set": {_BY: worker, _UNTIL: now + lasts}}
    sort = [(fields.KEY, 1)]
    held: Document | None = yield FindAndUpdate(
        context.control, where, update, sort=sort, hint="_id_", server_limit=LIMIT
    )
    if held is None and not (yield from find(context.control, {fields.KEY: LEASE}, limit=1)):
        with suppress(KeyTaken):
            yield InsertOne(context.control, {fields.KEY: LEASE, _BY: worker, _UNTIL: now + lasts})
            return True
    return held is not None


def let_go(context: Context, worker: str) -> Op[None]:
    """Give the lease back, for another to go on."""
    yield UpdateMany(context.control, {fields.KEY: LEASE, _BY: worker}, {"$set": {_UNTIL: LONG_AGO}})


def count(context: Context) -> Op[Counted]:
    """Count the tasks of all queues in the indexes, and read what workers have written of the last minutes."""
    began = elapsed()
    found = yield from queries.stats(context, {}, attempts=False)
    ready = {name: row.ready for name, row in found.items()}
    left = yield from unhandled(context, {}, ready)
    limits = yield from counting.count(context)
    at = context.clock.now()
    since = rows.begin_of(HistoryStep.MINUTE, at - RECENT)
    minutes: dict[datetime, dict[str, Sums]] = defaultdict(lambda: defaultdict(Sums))
    recent = rows.within(HistoryStep.MINUTE, since, at + rows.LENGTHS[HistoryStep.MINUTE])
    for row in (yield from find(context.history, recent, hint="_id_")):
        minutes[row[rows.AT]][row[fields.QUEUE]].add(rows.sums_of(row))
    return Counted(at, elapsed() - began, _with_unhandled(found, left), dict(minutes), since, limits)


def live(row: QueueStats) -> int:
    """How many tasks of a queue are unfinished."""
    return sum(getattr(row, state.value) for state in LIVE)


def depth_of(row: QueueStats) -> dict[str, float]:
    """What the history keeps of the depth of a queue."""
    oldest = 0.0 if row.oldest_ready is None else row.oldest_ready.total_seconds()
    return {**{name: getattr(row, name) for name in rows.FIGURES}, rows.OLDEST: max(0.0, oldest)}


def save_depths(context: Context, at: datetime, depths: Sequence[Depth]) -> Op[None]:
    """Add these to the rows of the minute."""
    minute = rows.begin_of(HistoryStep.MINUTE, at)
    writes = [
        rows.deepening(rows.Row(HistoryStep.MINUTE, minute, queue, None), figures, arrived)
        for queue, figures, arrived in depths
    ]
    for first in range(0, len(writes), BATCH):
        yield Bulk(context.history, writes[first : first + BATCH], ordered=False, timeout=LIMIT)


def _with_unhandled(found: dict[str, QueueStats], left: Mapping[str, int]) -> dict[str, QueueStats]:
    return {name: replace(row, unhandled=left[name]) if name in left else row for name, row in found.items()}
