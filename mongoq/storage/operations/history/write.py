"""Add the sums of one process to the rows of their minutes: one command for all, whatever the number of tasks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mongoq.core.errors import StorageRefused
from mongoq.history.point import HistoryStep
from mongoq.history.sums import Sums
from mongoq.storage.commands import Bulk, Op
from mongoq.storage.context import Context
from mongoq.storage.control import CreateIndexes, Hello, ListIndexes
from mongoq.storage.documents import indexes
from mongoq.storage.operations.history import rows
from mongoq.storage.operations.history.rows import Row
from mongoq.storage.operations.long_work.patience import LOOK_LIMIT

BATCH: Final = 1_000
LATEST: Final = timedelta(minutes=4)
"""What is written later than that counts in a later minute: the hour of its own may be summed up already."""
LIMIT: Final = timedelta(seconds=10)
Kind = tuple[int, str, str | None]
"""A minute since 1970, a queue, and a name."""


def add(context: Context, sums: Mapping[Kind, Sums]) -> Op[None]:
    """Add these sums: each to the row of its minute, queue and name, and all of a minute to the row of all."""
    oldest = context.clock.now() - LATEST
    parts: dict[Row, Sums] = defaultdict(Sums)
    for (minute, queue, name), one in sums.items():
        at = rows.begin_of(HistoryStep.MINUTE, max(oldest, datetime.fromtimestamp(minute * 60, UTC)))
        if queue != rows.ALL:
            parts[Row(HistoryStep.MINUTE, at, queue, None if name is None else name.partition("@")[0])].add(one)
        parts[Row(HistoryStep.MINUTE, at, rows.ALL, None)].add(one)
    writes = [rows.adding(row, one) for row, one in parts.items()]
    for first in range(0, len(writes), BATCH):
        yield Bulk(context.history, writes[first : first + BATCH], ordered=False, timeout=LIMIT)


def ensure_indexes(context: Context) -> Op[None]:
    """Build the indexes of the history; without the right to do so it is kept for ever, and read more slowly."""
    try:
        existing: dict[str, Any] = yield ListIndexes(context.history)
        lacking = indexes.missing(rows.INDEXES, existing)
        if lacking:
            reply = yield Hello()
            quorum = "majority" if "setName" in reply else None
            yield CreateIndexes(context.history, {name: rows.INDEXES[name] for name in lacking}, quorum, LOOK_LIMIT)
    except StorageRefused:
        pass
