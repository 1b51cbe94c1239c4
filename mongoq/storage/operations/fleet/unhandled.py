"""Which ready tasks nobody takes, because no live worker of their queue knows their name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from mongoq.core.errors import IndexMissing
from mongoq.storage.commands import Aggregate, Document, Filter, Op
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, indexes, names
from mongoq.storage.operations.fleet.heartbeat import workers

READ_LIMIT: Final = timedelta(seconds=30)


def unhandled(context: Context, named: Filter, ready: Mapping[str, int]) -> Op[dict[str, int]]:
    """Count the ready tasks of the matching queues that no live worker takes; `ready` has the number of all, by queue.

    It reads the index of ready tasks with names, where there is one.
    """
    group = {"_id": {fields.QUEUE: f"${fields.QUEUE}", fields.NAME: f"${fields.NAME}"}, "count": {"$sum": 1}}
    chosen = {**named, **names.ready_named()}
    if fields.NAME in named:
        chosen[fields.NAME] = {**chosen[fields.NAME], **named[fields.NAME]}
    pipeline = [{"$match": chosen}, {"$group": group}]
    try:
        rows: list[Document] = yield Aggregate(context.tasks, pipeline, hint=indexes.CLAIM_NAME, timeout=READ_LIMIT)
    except IndexMissing:  # no task here has a name, and no worker asks for one
        return {}
    live = [(set(one.queues), set(one.names)) for one in (yield from workers(context))]
    left: dict[str, int] = defaultdict(int)
    anonymous = dict(ready)
    for row in rows:
        queue, name = row["_id"][fields.QUEUE], row["_id"][fields.NAME]
        anonymous[queue] = anonymous.get(queue, 0) - row["count"]
        if not any(queue in queues and (not names_ or name in names_) for queues, names_ in live):
            left[queue] += row["count"]
    for queue, count in anonymous.items():
        theirs = [names_ for queues, names_ in live if queue in queues]
        if count > 0 and theirs and all(theirs):
            left[queue] += count
    return dict(left)
