"""Which of many queues have ready tasks, and how urgent the first task of each is: one skip scan of the claim index.

The server seeks once for each queue with ready tasks (5 to 9 µs) and walks over none of them: 0.4 ms for 10 queues with
6,000 tasks each, 9 ms for 1,000 with 60 each, where grouping all of them took 150 ms (mongod 6.0.5). It needs bounds on
`queue`, even wide ones: without any it reads every ready task.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final, NamedTuple

from mongoq.core.lifecycle import Event, sources
from mongoq.storage.commands import Aggregate, Document, Op
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters, indexes
from mongoq.storage.documents.decoding import LONG_AGO

NARROW: Final = 1_000
"""So many names are sent; beyond, the range from the first to the last, whose other queues are read for nothing."""


class Head(NamedTuple):
    """The first ready task of a queue."""

    queue: str
    priority: float
    run_at: datetime

    @property
    def urgency(self) -> tuple[Any, ...]:
        """By which heads are sorted, the most urgent first."""
        return -self.priority, self.run_at


def heads(context: Context, queues: Collection[str]) -> Op[list[Head]]:
    """The head of each of these queues that has ready tasks, the most urgent first."""
    among = {"$in": list(queues)} if len(queues) <= NARROW else {"$gte": min(queues), "$lte": max(queues)}
    first = {name: {"$first": f"${name}"} for name in (fields.PRIORITY, fields.RUN_AT)}
    pipeline: list[Document] = [
        {"$match": {fields.QUEUE: among, **filters.in_states(sources(Event.CLAIM))}},
        {"$sort": dict(indexes.TASKS[indexes.CLAIM][0])},
        {"$group": {"_id": f"${fields.QUEUE}", **first}},
    ]
    rows: list[Document] = yield Aggregate(context.tasks, pipeline, hint=indexes.CLAIM)
    return sorted((_head(row) for row in rows if row["_id"] in queues), key=lambda head: head.urgency)


def _head(row: Document) -> Head:
    """A head as it was read: another program may have written anything, which the claim will find."""
    priority, run_at = row[fields.PRIORITY], row[fields.RUN_AT]
    number = isinstance(priority, int | float) and priority == priority  # noqa: PLR0124 -- NaN is not
    return Head(row["_id"], priority if number else float("inf"), run_at if isinstance(run_at, datetime) else LONG_AGO)
