"""Read one page of tasks: exactly along an index, or as a search of a slice of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mongoq.core.errors import IndexMissing
from mongoq.paging.page import PageRequest, Place, TaskPage, written
from mongoq.storage.commands import Aggregate, Count, Document, Filter, Find, Op
from mongoq.storage.context import Context
from mongoq.storage.documents import decoding, fields
from mongoq.storage.operations.long_work.patience import patiently
from mongoq.storage.operations.looking.walks import Order, Walk, by_name, ranges, rest, walks

SLICE: Final = 10_000
"""Documents that a search looks at before it asks whether to go on: 20 to 60 ms, mongod 6.0.5 with all in memory."""
MOST_MERGED: Final = 199
"""Queues whose newest tasks are merged: the server merges at most 200 scans of an index without a sort."""
HIDDEN: Final = (*fields.PROOFS, fields.PAYLOAD)


@dataclass(slots=True)
class _Reading:
    """What was found so far."""

    left: int
    """How many rows are wanted still."""
    budget: int
    """Documents that a search may still look at."""
    searched: int = 0
    found: list[Document] = field(default_factory=list)
    place: Place | None = None
    """Where to go on."""


def page(context: Context, wanted: PageRequest, place: Place | None) -> Op[TaskPage]:
    """Read a page; the first without a place."""
    try:
        return (yield from _page(context, wanted, place))
    except IndexMissing:
        if not by_name(wanted):
            raise
        return (yield from _page(context, replace(wanted, named=False), place))  # no task had a name so far


def _page(context: Context, wanted: PageRequest, place: Place | None) -> Op[TaskPage]:
    parts, filtered = walks(wanted), rest(wanted)
    reading = _Reading(wanted.limit + 1, SLICE)
    for number in range(place.walk if place else 0, len(parts)):
        walk, at = parts[number], place if place and place.walk == number else None
        at = at if at is None or len(at.values) == len(walk.order) else None
        how = _search if filtered else _read_merged if walk.merged else _read
        yield from how(context, walk, filtered, at, reading)
        reading.place = None if reading.place is None else reading.place._replace(walk=number)
        if reading.left <= 0 or reading.place is not None:
            break
    found = reading.found[: wanted.limit]
    now = context.clock.now()
    shown = [task for one in found if (task := decoding.task_shown(one, context.namespace, now)) is not None]
    after = None if reading.place is None else written(reading.place)
    return TaskPage(tuple(shown), after, reading.searched if filtered else None)


def _read(context: Context, walk: Walk, _: Filter, at: Place | None, reading: _Reading) -> Op[None]:
    """Read along a walk; where more than the page is there, the place is behind the last row that is shown."""
    found: list[Document] = []
    for where, skip in _parts(walk, at):
        found += yield from _rows(context, walk, where, walk.order, most=reading.left - len(found), skip=skip)
        if len(found) >= reading.left:
            break
    _take(walk, at, found, reading)


def _read_merged(context: Context, walk: Walk, _: Filter, at: Place | None, reading: _Reading) -> Op[None]:
    """Read the newest of all queues. Those of one millisecond have no order there, so they are read queue by queue."""
    found: list[Document] = []
    if at is not None:
        found += yield from _tied(context, walk, at.values[0], reading.left, at.passed)
    if len(found) < reading.left:
        behind = {} if at is None else {fields.FINISHED_AT: {"$lt": at.values[0]}}
        among = yield from _newest(context, walk, behind)
        where = {"$and": [walk.where, {fields.QUEUE: {"$in": among}}, behind]}
        newer = yield from _rows(context, walk, where, walk.order, most=reading.left - len(found))
        full = len(newer) > 1 and len(found) + len(newer) >= reading.left
        if full and walk.values(newer[-1]) == walk.values(newer[-2]):
            last = walk.values(newer[-1])
            newer = [row for row in newer if walk.values(row) != last]
            newer += yield from _tied(context, walk, last[0], reading.left - len(found) - len(newer), 0)
        found += newer
    _take(walk, at, found, reading)


def _tied(context: Context, walk: Walk, finished_at: Any, most: int, skip: int) -> Op[list[Document]]:
    where = {"$and": [walk.where, {fields.FINISHED_AT: {"$eq": finished_at}}]}
    return (yield from _rows(context, walk, where, ((fields.QUEUE, 1),), most=most, skip=skip))


def _rows(context: Context, walk: Walk, where: Filter, order: Order, *, most: int, skip: int = 0) -> Op[list[Document]]:
    read = Find(
        context.tasks, where, without=HIDDEN, sort=list(order), hint=walk.index, most=most, skip=skip, majority=True
    )  # fmt: skip
    found: list[Document] = yield from patiently(read)
    return found


def _take(walk: Walk, at: Place | None, found: Sequence[Document], reading: _Reading) -> None:
    """Add what was found; one row more than a page shows that there is another page."""
    reading.found += found
    if len(found) < reading.left:
        reading.left -= len(found)
        return
    rows, reading.left = found[:-1], 0
    if not rows:  # the page ended with the walk before; this one begins with the next page
        reading.place = at or Place(0, (), 0)
        return
    values = walk.values(rows[-1])
    passed = sum(1 for row in rows if walk.values(row) == values)
    if at is not None and list(at.values) == values:
        passed += at.passed
    reading.place = Place(0, values, passed)


def _search(context: Context, walk: Walk, filtered: Filter, at: Place | None, reading: _Reading) -> Op[None]:
    """Look at the next tasks of a walk, up to the budget, and keep those that match."""
    for where, skip in _parts(walk, at):
        slice_ = _slice(walk, where, skip, reading.budget)
        kept: list[Document] = [{"$match": filtered}, {"$limit": reading.left}]
        hidden = {"$project": dict.fromkeys(HIDDEN, 0)}
        found = yield from patiently(Aggregate(context.tasks, [*slice_, *kept, hidden], hint=walk.index))
        looked = yield from patiently(Count(context.tasks, where, hint=walk.index, most=skip + reading.budget))
        looked = max(0, looked - skip)
        if len(found) >= reading.left:
            reading.found += found
            # How far the server looked before it had enough rows is not told.
            reading.left, reading.searched = 0, reading.searched + looked
            reading.place = yield from _place_of(context, walk, found[-2] if len(found) > 1 else None, at)
            return
        reading.found += found
        reading.left -= len(found)
        reading.searched += looked
        if looked >= reading.budget:
            reading.place = yield from _boundary(context, walk, where, skip + looked)
            return
        reading.budget -= looked


def _place_of(context: Context, walk: Walk, row: Document | None, at: Place | None) -> Op[Place]:
    """The place behind a row that a search has found."""
    if row is None:
        return at or Place(0, (), 0)
    values = walk.values(row)
    if walk.total:
        return Place(0, values, 1)
    same = [{name: {"$eq": value}} for (name, _), value in zip(walk.order, values, strict=True)]
    ties = {"$and": [walk.where, *same]}
    listed: list[Document] = yield from patiently(
        Aggregate(context.tasks, [*_slice(walk, ties, 0, SLICE), {"$project": {fields.KEY: 1}}], hint=walk.index)
    )
    keys = [one[fields.KEY] for one in listed]
    return Place(0, values, keys.index(row[fields.KEY]) + 1 if row[fields.KEY] in keys else len(keys))


def _boundary(context: Context, walk: Walk, where: Filter, looked: int) -> Op[Place | None]:
    """The place behind the first so many tasks of a range; it reads index entries alone."""
    only = {"$project": {fields.KEY: 0, **{name: 1 for name, _ in walk.order}}}
    if walk.order[0][0] == fields.KEY:
        only = {"$project": {fields.KEY: 1}}
    last: list[Document] = yield from patiently(
        Aggregate(context.tasks, [*_slice(walk, where, looked - 1, 1), only], hint=walk.index)
    )
    if not last:
        return None
    values = walk.values(last[0])
    if walk.total:
        return Place(0, values, 1)
    same = {"$and": [{name: {"$eq": value}} for (name, _), value in zip(walk.order, values, strict=True)]}
    tied: list[Document] = yield from patiently(
        Aggregate(context.tasks, [*_slice(walk, where, 0, looked), {"$match": same}, {"$count": "n"}], hint=walk.index)
    )
    return Place(0, values, tied[0]["n"] if tied else 0)


def _newest(context: Context, walk: Walk, behind: Filter) -> Op[list[str]]:
    """The queues that have the newest tasks: no other can have a row on this page."""
    pipeline: list[Document] = [
        {"$match": {"$and": [walk.where, behind]}},
        {"$sort": {fields.QUEUE: 1, fields.STATE: 1, fields.FINISHED_AT: -1}},
        {"$group": {"_id": f"${fields.QUEUE}", "newest": {"$first": f"${fields.FINISHED_AT}"}}},
        {"$sort": {"newest": -1, "_id": 1}},
        {"$limit": MOST_MERGED},
    ]
    rows: list[Any] = yield from patiently(Aggregate(context.tasks, pipeline, hint=walk.index))
    return sorted(row["_id"] for row in rows)


def _parts(walk: Walk, at: Place | None) -> list[tuple[Filter, int]]:
    return [(walk.where, 0)] if at is None or not at.values else ranges(walk, at.values, at.passed)


def _slice(walk: Walk, where: Filter, skip: int, most: int) -> list[Document]:
    """The next so many tasks of a range, as the beginning of a pipeline."""
    skipped: list[Document] = [{"$skip": skip}] if skip else []
    return [{"$match": where}, {"$sort": dict(walk.order)}, *skipped, {"$limit": most}]
