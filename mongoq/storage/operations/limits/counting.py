"""Count how full each limit is: two commands for all limits, whatever the number of their groups."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from mongoq.core.lifecycle import TaskState
from mongoq.limiting.limit import Limit, limit_of
from mongoq.limiting.use import MOST, LimitStats
from mongoq.storage.commands import Aggregate, Document, Op, find
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, indexes
from mongoq.storage.documents.limiting import slots
from mongoq.storage.operations.long_work.patience import patiently

Sums = Mapping[str, int]
"""What runs and waits under one limit: the fields of `LimitStats` that are counted."""

SUMS: Final = (TaskState.RUNNING.value, "waiting", "groups_running", "groups_waiting", "fullest")
_AT, _NAME = "at", "limit"


def count(context: Context) -> Op[dict[str, Sums]]:
    """Count what runs and waits under each limit that this process knows, in the indexes of limits.

    It reads the entry of each task that waits, about 1 s per million of them, and the running tasks that have a slot.
    """
    known = told(context.gate.limits)
    if not known:
        return {}
    running: dict[str, Counter[str]] = defaultdict(Counter)
    used = yield from find(context.tasks, slots.ANY_IN_USE, only=[fields.SLOTS], hint=indexes.SLOTS)
    for group in (group for document in used for group in slots.groups_of(document)):
        running[limit_of(group)][group] += 1
    rows: list[Document] = yield from patiently(Aggregate(context.tasks, slots.waiting_by_limit(), hint=indexes.WAITS))
    waiting = {row["_id"]: row for row in rows}
    return {name: _sums(running[name], waiting.get(name, {})) for name in known}


def told(known: Iterable[str]) -> list[str]:
    """The names of the limits that are told of: the first 1,000."""
    return sorted(known)[:MOST]


def stats_of(limit: Limit, sums: Sums, at: datetime | None) -> LimitStats:
    """The figures of a limit."""
    rate = None if limit.rate is None else limit.rate / limit.per.total_seconds()
    return LimitStats(limit.name, limit.concurrency, rate, **sums, counted_at=at)


def packed(found: Mapping[str, Sums], at: datetime) -> Document:
    """The sums as they are kept: with their instant, since an older version leaves them where they are."""
    return {_AT: at, _NAME: list(found), **{sum_: [row[sum_] for row in found.values()] for sum_ in SUMS}}


def unpacked(kept: object, at: datetime) -> Mapping[str, Sums] | None:
    """The sums that were kept at this instant; None where there are none."""
    if not isinstance(kept, dict) or kept.get(_AT) != at:
        return None
    columns: list[list[int]] = [kept[sum_] for sum_ in SUMS]
    return {name: dict(zip(SUMS, row, strict=True)) for name, *row in zip(kept[_NAME], *columns, strict=True)}


def _sums(groups: Counter[str], waits: Document) -> Sums:
    fullest = max(groups.values(), default=0)
    sums = (groups.total(), waits.get("waiting", 0), len(groups), waits.get("groups", 0), fullest)
    return dict(zip(SUMS, sums, strict=True))
