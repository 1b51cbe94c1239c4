"""The documents of the history: their keys, how sums are added to one, and how it is read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from mongoq.core.lifecycle import Event, TaskState
from mongoq.history.buckets import Histogram
from mongoq.history.point import HistoryPoint, HistoryStep, timing
from mongoq.history.sums import LOST, Sums
from mongoq.storage.commands import Changing, Document, Filter
from mongoq.storage.documents import fields
from mongoq.storage.documents.indexes import Indexes

STEP, AT, GONE_AT = "step", "at", "gone_at"
_STARTS, _ENDS, _WAITS, _RUNS, _WAIT_SECONDS, _RUN_SECONDS = (
    "starts", "ends", "waits", "runs", "wait_seconds", "run_seconds",
)  # fmt: skip
_OUTCOMES: Final = tuple(
    event.value
    for event in (Event.COMPLETE, Event.FAIL, Event.CANCEL, Event.RETRY, Event.SNOOZE, Event.MOVE, Event.RELEASE)
)
_DEPTH, _ARRIVALS, OLDEST = "depth", "arrivals", "oldest"
INDEXES: Final[Indexes] = {
    "of_queue": ([(fields.QUEUE, 1), (STEP, 1), (AT, 1)], {}),
    "of_name": ([(fields.NAME, 1), (STEP, 1), (AT, 1)], {}),
    "gone": ([(GONE_AT, 1)], {"expireAfterSeconds": 0}),
}
LENGTHS: Final[Mapping[HistoryStep, timedelta]] = {
    HistoryStep.MINUTE: timedelta(minutes=1),
    HistoryStep.HOUR: timedelta(hours=1),
    HistoryStep.DAY: timedelta(days=1),
}
KEPT: Final[Mapping[HistoryStep, timedelta]] = {
    HistoryStep.MINUTE: timedelta(days=7),
    HistoryStep.HOUR: timedelta(days=90),
    HistoryStep.DAY: timedelta(days=366),
}
FIGURES: Final = (
    TaskState.READY.value, TaskState.SCHEDULED.value, TaskState.RUNNING.value, TaskState.PARKED.value, "unhandled",
)  # fmt: skip
"""What is kept of the depth of a queue, beside the age of its oldest ready task."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
ALL: Final = ""
"""The queue of the rows that hold the sums of all queues."""


class Row(NamedTuple):
    """What the sums of one document are of."""

    step: HistoryStep
    at: datetime
    queue: str
    name: str | None


class Asked(NamedTuple):
    """What is read: of which span of time, and of which queue or name."""

    step: HistoryStep
    since: datetime
    until: datetime
    queue: str | None
    name: str | None


def begin_of(step: HistoryStep, instant: datetime) -> datetime:
    """When the minute, hour or day of an instant began."""
    return instant - (instant - _EPOCH) % LENGTHS[step]


def within(step: HistoryStep, since: datetime, until: datetime) -> Filter:
    """All rows of a step that begin in a span of time."""
    return {fields.KEY: {"$gte": _prefix(step, since), "$lt": _prefix(step, until)}}


def chosen(asked: Asked) -> Filter:
    """The rows of a queue, or of a name, or of a name in a queue; without both those of all together."""
    queue = ALL if asked.queue is None and asked.name is None else asked.queue
    what = {fields.QUEUE: queue, fields.NAME: asked.name}
    when = {STEP: asked.step.value, AT: {"$gte": asked.since, "$lt": asked.until}}
    return {field: value for field, value in what.items() if value is not None} | when


def by_name(names: Sequence[str], since: datetime) -> list[Document]:
    """Sum up what these task functions did in the minutes from `since` on, over all queues."""
    counted: Document = {outcome: {"$sum": f"${_ENDS}.{outcome}"} for outcome in (*_OUTCOMES, LOST)}
    where = {fields.NAME: {"$in": list(names)}, STEP: HistoryStep.MINUTE.value, AT: {"$gte": since}}
    return [
        {"$match": where},
        {"$group": {"_id": f"${fields.NAME}", _STARTS: {"$sum": f"${_STARTS}"}, **counted}},
    ]


def point_of_name(at: datetime, row: Document) -> HistoryPoint:
    """What a reader sees of a row of `by_name`."""
    sums = Sums()
    sums.starts, sums.ends = _count(row[_STARTS]), {outcome: _count(row[outcome]) for outcome in (*_OUTCOMES, LOST)}
    return point_of(at, sums)


def adding(row: Row, sums: Sums) -> Changing:
    """The statement that adds sums to a row."""
    update = {"$inc": _flat(sums), "$setOnInsert": _told(row)}
    return Changing({fields.KEY: _key(row)}, update, upsert=True)


def replacing(row: Row, sums: Sums) -> Changing:
    """The statement that makes these the sums of a row, whatever they were."""
    return Changing({fields.KEY: _key(row)}, {"$set": {**_told(row), **_nested(sums)}}, upsert=True)


def deepening(row: Row, depth: Mapping[str, float], arrived: int | None) -> Changing:
    """The statement that notes how deep a queue was seen to be."""
    update = {
        "$max": {f"{_DEPTH}.{name}": figure for name, figure in depth.items()},
        **({} if arrived is None else {"$inc": {_ARRIVALS: arrived}}),
        "$setOnInsert": _told(row),
    }
    return Changing({fields.KEY: _key(row)}, update, upsert=True)


def sums_of(document: Document) -> Sums:
    """The sums of a row."""
    sums, get = Sums(), document.get
    sums.starts = _count(get(_STARTS))
    sums.ends = {str(outcome): _count(count) for outcome, count in (get(_ENDS) or {}).items()}
    sums.waits, sums.runs = _histogram(get(_WAITS)), _histogram(get(_RUNS))
    sums.depth, sums.arrivals = dict(get(_DEPTH) or {}), get(_ARRIVALS)
    sums.wait_seconds, sums.run_seconds = float(get(_WAIT_SECONDS) or 0.0), float(get(_RUN_SECONDS) or 0.0)
    return sums


def point_of(at: datetime, sums: Sums) -> HistoryPoint:
    """What a reader sees of sums."""
    ends = sums.ends.get
    seen: dict[str, Any] = {name: int(figure) for name, figure in sums.depth.items() if name in FIGURES}
    return HistoryPoint(
        at,
        starts=sums.starts,
        completed=ends(Event.COMPLETE.value, 0),
        failed=ends(Event.FAIL.value, 0),
        cancelled=ends(Event.CANCEL.value, 0),
        retried=ends(Event.RETRY.value, 0),
        snoozed=ends(Event.SNOOZE.value, 0),
        moved=ends(Event.MOVE.value, 0),
        released=ends(Event.RELEASE.value, 0),
        lost=ends(LOST, 0),
        wait=timing(sums.waits, sums.wait_seconds),
        run=timing(sums.runs, sums.run_seconds),
        arrivals=None if sums.arrivals is None else max(0, sums.arrivals),
        oldest_ready=timedelta(seconds=sums.depth[OLDEST]) if OLDEST in sums.depth else None,
        **seen,
    )


def _told(row: Row) -> Document:
    told: Document = {STEP: row.step.value, AT: row.at, fields.QUEUE: row.queue, GONE_AT: row.at + KEPT[row.step]}
    return told if row.name is None else {**told, fields.NAME: row.name}


def _key(row: Row) -> str:
    """Keys of one step are in the order of time."""
    return f"{_prefix(row.step, row.at)} {json.dumps([row.queue, row.name])}"


def _prefix(step: HistoryStep, at: datetime) -> str:
    return f"{step.value} {at:%Y-%m-%dT%H:%M}"


def _flat(sums: Sums) -> dict[str, Any]:
    """Sums as the fields of an `$inc`."""
    flat: dict[str, Any] = {}
    for name, value in _nested(sums).items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": count for inner, count in value.items()}
        else:
            flat[name] = value
    return flat


def _nested(sums: Sums) -> Document:
    seen: Document = {} if sums.arrivals is None else {_DEPTH: dict(sums.depth), _ARRIVALS: sums.arrivals}
    return seen | {
        _STARTS: sums.starts,
        _ENDS: dict(sums.ends),
        _WAITS: _named(sums.waits.items()),
        _RUNS: _named(sums.runs.items()),
        _WAIT_SECONDS: sums.wait_seconds,
        _RUN_SECONDS: sums.run_seconds,
    }


def _named(counts: Iterable[tuple[int, int]]) -> dict[str, int]:
    return {str(number): count for number, count in counts}


def _histogram(stored: Any) -> Histogram:
    return {int(number): _count(count) for number, count in stored.items()} if isinstance(stored, dict) else {}


def _count(stored: Any) -> int:
    return stored if isinstance(stored, int) else 0
