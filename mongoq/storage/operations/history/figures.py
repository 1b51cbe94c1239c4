"""The newest figures of all queues, in few documents: as columns, so that those of 10,000 queues are read in 30 ms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import repeat
from typing import Any, Final, NamedTuple

from mongoq.core.lifecycle import TaskState
from mongoq.core.stats import QueueStats, stats_of
from mongoq.history.point import Timing
from mongoq.storage.commands import Bulk, Changing, Document, Op, Removing, find
from mongoq.storage.context import Context
from mongoq.storage.documents import fields
from mongoq.storage.documents.codec import in_utc
from mongoq.storage.operations.history.rows import ALL
from mongoq.storage.operations.limits import counting
from mongoq.storage.operations.long_work.patience import LOOK_LIMIT

PART: Final = 10_000
"""So many queues stand in one document, of 3 MB at most."""
FEW: Final = 20_000
"""Who asks counts for itself where there are no more tasks, in 20 ms, and so sees what it wrote a moment ago."""
SLACK: Final = timedelta(seconds=10)
"""For so long after the next sample was due the last one is taken for the newest."""
_FIRST, _AFTER = "now ", "now!"
_AT, _NEXT, _TOOK, _OLDEST, _WAIT, _RUN = "at", "next", "took", "oldest", "wait", "run"
_LIMITS: Final = "limits"
COUNTS: Final = (*(state.value for state in TaskState), "unhandled")
_TASKS: Final = "tasks"
"""How many tasks of all queues are in each state: who wants the limits alone need not read the queues."""
_OLDEST_READY, _COUNTED_AT = "oldest_ready", "counted_at"
_RATES: Final = ("arrivals", "starts", "finishes")
_PERCENTILES: Final = ("mean", "p50", "p95", "p99")


class Figures(NamedTuple):
    """What one process has counted for all."""

    at: datetime
    next: datetime
    """When the next sample is due."""
    took: float
    """How many seconds the count took."""
    queues: dict[str, QueueStats]
    limits: Mapping[str, Mapping[str, int]] | None = None
    """What runs and waits under each limit; None where nobody has counted that."""

    @property
    def many(self) -> bool:
        """Whether there are too many tasks for everybody to count them."""
        return sum(getattr(self.queues[ALL], state) for state in TaskState) > FEW if ALL in self.queues else True

    def current(self, now: datetime) -> bool:
        """Whether they are the newest there can be."""
        return now <= self.next + SLACK


def read(context: Context) -> Op[Figures | None]:
    """Read the figures; None where there are none, or somebody has left off to write them."""
    where = {fields.KEY: {"$gte": _FIRST, "$lt": _AFTER}}
    found = yield from find(context.history, where, sort=[(fields.KEY, 1)], hint="_id_", timeout=LOOK_LIMIT, naive=True)
    if not found:
        return None
    now, first = context.clock.now(), found[0]
    queues: dict[str, QueueStats] = {}
    for part in found:
        queues |= _queues(part, now)
    limits = counting.unpacked(first.get(_LIMITS), first[_AT])
    figures = Figures(in_utc(first[_AT]), in_utc(first[_NEXT]), first[_TOOK], queues, limits)
    return figures if figures.current(now) else None


def read_limits(context: Context) -> Op[Figures | None]:
    """Read the figures of the limits alone; `queues` has the sums of all queues. None as for `read`."""
    told, key = [_AT, _NEXT, _TOOK, _LIMITS, _TASKS], {fields.KEY: {"$eq": _key(0)}}
    found = yield from find(context.history, key, only=told, hint="_id_", timeout=LOOK_LIMIT)
    if not found or _TASKS not in found[0]:
        return (yield from read(context))
    first = found[0]
    limits = counting.unpacked(first.get(_LIMITS), first[_AT])
    counts: dict[str, Any] = {state.value: int(first[_TASKS].get(state.value, 0)) for state in TaskState}
    figures = Figures(first[_AT], first[_NEXT], first[_TOOK], {ALL: QueueStats(ALL, **counts)}, limits)
    return figures if figures.current(context.clock.now()) else None


def write(context: Context, figures: Figures) -> Op[None]:
    """Replace the figures by these."""
    rows = [figures.queues[name] for name in sorted(figures.queues)]
    parts = [rows[first : first + PART] for first in range(0, max(1, len(rows)), PART)]
    told: Document = {_AT: figures.at, _NEXT: figures.next, _TOOK: figures.took}
    if (whole := figures.queues.get(ALL)) is not None:
        told[_TASKS] = {state.value: getattr(whole, state.value) for state in TaskState}
    limits = {} if figures.limits is None else {_LIMITS: counting.packed(figures.limits, figures.at)}
    writes: list[Changing | Removing] = [
        Changing({fields.KEY: _key(number)}, {"$set": told | _columns(part, figures.at) | limits}, upsert=True)
        for number, part in enumerate(parts)
    ]
    rest = {fields.KEY: {"$gte": _key(len(parts)), "$lt": _AFTER}}
    yield Bulk(context.history, [*writes, Removing(rest, many=True)], timeout=LOOK_LIMIT)


def with_rates(row: QueueStats, kept: QueueStats | None) -> QueueStats:
    """What was counted now, with the rates that were kept."""
    if kept is None:
        return row
    rates = {name: getattr(kept, name) for name in (*_RATES, _WAIT, _RUN)}
    return replace(row, **rates)


def _key(number: int) -> str:
    return f"{_FIRST}{number:04}"


def _columns(rows: Sequence[QueueStats], at: datetime) -> Document:
    columns: Document = {name: [getattr(row, name) for row in rows] for name in (fields.QUEUE, *COUNTS, *_RATES)}
    columns[_OLDEST] = [None if row.oldest_ready is None else at - row.oldest_ready for row in rows]
    columns[_WAIT] = [_packed(row.wait) for row in rows]
    columns[_RUN] = [_packed(row.run) for row in rows]
    return columns


def _queues(part: Mapping[str, Any], now: datetime) -> dict[str, QueueStats]:
    """The figures of a document whose instants have no zone: of 10,000 queues those cost half of the time."""
    names, now = part[fields.QUEUE], now.replace(tzinfo=None)
    columns: dict[str, Iterable[Any]] = {name: part[name] for name in (fields.QUEUE, *COUNTS, *_RATES)}
    columns[_OLDEST_READY] = [None if one is None else now - one for one in part[_OLDEST]]
    columns |= {name: [_unpacked(one) if one else None for one in part[name]] for name in (_WAIT, _RUN)}
    columns |= {name: repeat(value) for name, value in ((_COUNTED_AT, in_utc(part[_AT])), ("paused", False))}
    rows = zip(*(columns.get(one.name) or repeat(one.default) for one in dataclass_fields(QueueStats)), strict=False)
    return {name: stats_of(*row) for name, row in zip(names, rows, strict=False)}


def _packed(timing: Timing | None) -> list[float] | None:
    return None if timing is None else [timing.count, *(getattr(timing, name).total_seconds() for name in _PERCENTILES)]


def _unpacked(packed: list[float] | None) -> Timing | None:
    if not packed:
        return None
    count, *seconds = packed
    mean, p50, p95, p99 = (timedelta(seconds=one) for one in seconds)
    return Timing(int(count), mean, p50, p95, p99)
