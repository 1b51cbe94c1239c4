"""Sum up: the minutes of an hour that is over to the hour, and its hours to the day.

Sums are written whole and not added, so doing it twice does no harm.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Final

from mongoq.history.point import HistoryStep
from mongoq.history.sums import Sums
from mongoq.storage.commands import Bulk, Op, UpdateMany, find
from mongoq.storage.context import Context
from mongoq.storage.documents import fields
from mongoq.storage.operations.history import read, rows
from mongoq.storage.operations.history.write import BATCH, LATEST, LIMIT

AFTER: Final = LATEST + timedelta(minutes=1)
"""An hour is summed up when nothing is added to its minutes any more."""
SLICE: Final = timedelta(minutes=5)
"""So much is read at once."""
Parts = dict[tuple[str, str | None], Sums]
_HOUR: Final = rows.LENGTHS[HistoryStep.HOUR]


def sum_up(context: Context) -> Op[bool]:
    """Sum up the oldest hour that is over and not summed up; whether there was one."""
    over = rows.begin_of(HistoryStep.HOUR, context.clock.now() - AFTER)
    mark = yield from read.summed_up(context)
    if mark >= over:
        return False
    first = yield from _first_minute(context, mark)
    if first is None or first >= over:
        yield from _mark(context, over)
        return False
    hour = rows.begin_of(HistoryStep.HOUR, first)
    yield from _write(context, HistoryStep.HOUR, hour, (yield from _summed(context, HistoryStep.MINUTE, hour, _HOUR)))
    day, length = rows.begin_of(HistoryStep.DAY, hour), rows.LENGTHS[HistoryStep.DAY]
    yield from _write(context, HistoryStep.DAY, day, (yield from _summed(context, HistoryStep.HOUR, day, length)))
    yield from _mark(context, hour + _HOUR)
    return True


def _first_minute(context: Context, since: datetime) -> Op[datetime | None]:
    oldest = context.clock.now() - rows.KEPT[HistoryStep.MINUTE]
    where = rows.within(HistoryStep.MINUTE, max(since, oldest), context.clock.now())
    found = yield from find(context.history, where, only=[rows.AT], sort=[(fields.KEY, 1)], hint="_id_", limit=1)
    return found[0][rows.AT] if found else None


def _summed(context: Context, step: HistoryStep, begin: datetime, length: timedelta) -> Op[Parts]:
    """The sums of all rows of a step in a span of time, by queue and name."""
    parts: Parts = defaultdict(Sums)
    pause, at = SLICE if step is HistoryStep.MINUTE else _HOUR, begin
    while at < begin + length:
        for row in (yield from find(context.history, rows.within(step, at, at + pause), hint="_id_")):
            parts[row[fields.QUEUE], row.get(fields.NAME)].add(rows.sums_of(row))
        at += pause
    return parts


def _write(context: Context, step: HistoryStep, at: datetime, parts: Parts) -> Op[None]:
    writes = [rows.replacing(rows.Row(step, at, *what), sums) for what, sums in parts.items()]
    for first in range(0, len(writes), BATCH):
        yield Bulk(context.history, writes[first : first + BATCH], ordered=False, timeout=LIMIT)


def _mark(context: Context, until: datetime) -> Op[None]:
    update = {"$max": {read.SUMMED_UP: until}}
    yield UpdateMany(context.control, {fields.KEY: read.MARK}, update, upsert=True)
