"""Read the history of a span of time: the rows of its step, and of minutes that are not summed up yet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from mongoq.history.point import HistoryPoint, HistoryStep
from mongoq.history.sums import Sums
from mongoq.storage.commands import Aggregate, Document, Op, UpdateMany, find, find_one
from mongoq.storage.context import Context
from mongoq.storage.documents import fields
from mongoq.storage.documents.decoding import LONG_AGO
from mongoq.storage.operations.history import rows
from mongoq.storage.operations.history.rows import Asked
from mongoq.storage.operations.long_work.patience import LOOK_LIMIT

MARK: Final = "history"
"""The document of `<namespace>.control` that says up to when minutes are summed up."""
SUMMED_UP: Final = "summed_up"
RELEASE: Final = "release"
MOST_RELEASES: Final = 1_000


def points(context: Context, asked: Asked) -> Op[list[HistoryPoint]]:
    """What happened in each step of a span of time, also in those in which nothing did."""
    step, at = asked.step, rows.begin_of(asked.step, asked.since)
    found = yield from _rows(context, asked._replace(since=at))
    sums: dict[datetime, Sums] = defaultdict(Sums)
    for row in found:
        sums[rows.begin_of(step, row[rows.AT])].add(rows.sums_of(row))
    marked = yield from releases(context, at, asked.until)
    made: list[HistoryPoint] = []
    while at < asked.until:
        after = at + rows.LENGTHS[step]
        point = rows.point_of(at, sums[at] if at in sums else Sums())
        here = tuple(release for release, instant in marked if at <= instant < after)
        made.append(replace(point, releases=here) if here else point)
        at = after
    return made


def of_names(context: Context, names: Sequence[str], since: datetime) -> Op[dict[str, HistoryPoint]]:
    """What each of these task functions did since then, by name, summed up by the server: one command."""
    at = rows.begin_of(HistoryStep.MINUTE, since)
    found: list[Document] = yield Aggregate(context.history, rows.by_name(names, at), timeout=LOOK_LIMIT)
    sums = {str(row["_id"]): rows.point_of_name(at, row) for row in found}
    return {name: sums.get(name) or rows.point_of(at, Sums()) for name in names}


def mark_release(context: Context, release: str) -> Op[None]:
    """Note when a release was first seen; later calls change nothing."""
    now = context.clock.now()
    mark = {rows.STEP: RELEASE, RELEASE: release, rows.AT: now, rows.GONE_AT: now + rows.KEPT[HistoryStep.DAY]}
    yield UpdateMany(context.history, {fields.KEY: f"{RELEASE} {release}"}, {"$setOnInsert": mark}, upsert=True)


def releases(context: Context, since: datetime, until: datetime) -> Op[list[tuple[str, datetime]]]:
    """The releases that were first seen in a span of time, by name, the oldest first."""
    where = {fields.KEY: {"$gte": f"{RELEASE} ", "$lt": f"{RELEASE}!"}, rows.AT: {"$gte": since, "$lt": until}}
    found = yield from find(context.history, where, hint="_id_", limit=MOST_RELEASES, timeout=LOOK_LIMIT)
    return sorted(((str(row[RELEASE]), row[rows.AT]) for row in found), key=lambda one: one[1])


def summed_up(context: Context) -> Op[datetime]:
    """Until when all minutes are summed up to hours and days."""
    found = yield from find_one(context.control, {fields.KEY: MARK})
    mark = None if found is None else found.get(SUMMED_UP)
    return mark if isinstance(mark, datetime) else LONG_AGO


def _rows(context: Context, asked: Asked) -> Op[list[Document]]:
    found = yield from find(context.history, rows.chosen(asked), timeout=LOOK_LIMIT)
    if asked.step is HistoryStep.MINUTE:
        return found
    later = asked._replace(step=HistoryStep.MINUTE, since=max(asked.since, (yield from summed_up(context))))
    return found + (yield from find(context.history, rows.chosen(later), timeout=LOOK_LIMIT))
