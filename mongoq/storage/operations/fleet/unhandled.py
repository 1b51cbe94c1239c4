"""Which ready tasks nobody takes, because no live worker of their queue knows their name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Final

from mongoq.core.errors import IndexMissing, Unsupported
from mongoq.core.lifecycle import Event, sources
from mongoq.storage.commands import Aggregate, Document, Filter, Op
from mongoq.storage.context import Context
from mongoq.storage.control import Transact
from mongoq.storage.documents import fields, filters, indexes, names
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
    refused = {queue for queue, count in anonymous.items() if count > 0 and _wants_names(live, queue)}
    for queue, count in (yield from _without_names(context, refused, anonymous)).items():
        left[queue] += count
    return {queue: count for queue, count in left.items() if count}


def _wants_names(live: Sequence[tuple[set[str], set[str]]], queue: str) -> bool:
    """Whether a queue has workers, all of which take only tasks with names."""
    theirs = [names_ for queues, names_ in live if queue in queues]
    return bool(theirs) and all(theirs)


def _without_names(context: Context, queues: Collection[str], apart: Mapping[str, int]) -> Op[dict[str, int]]:
    """How many ready tasks of these queues have no name, counted at one moment.

    `apart` is what was counted one after the other: of a busy queue it took for nameless what came or went meanwhile.
    A standalone server knows no better.
    """
    if not queues:
        return {}
    where = {fields.QUEUE: {"$in": sorted(queues)}, **filters.in_states(sources(Event.CLAIM))}
    group = {"$group": {"_id": f"${fields.QUEUE}", "count": {"$sum": 1}}}

    def body() -> Op[dict[str, int]]:
        counts = []
        for chosen, hint in ((where, indexes.CLAIM), (where | names.ready_named(), indexes.CLAIM_NAME)):
            rows: list[Document] = yield Aggregate(
                context.tasks, [{"$match": chosen}, group], hint=hint, timeout=READ_LIMIT
            )
            counts.append({row["_id"]: row["count"] for row in rows})
        return {queue: max(0, counts[0].get(queue, 0) - counts[1].get(queue, 0)) for queue in queues}

    try:
        found: dict[str, int] = yield Transact(body, timedelta(seconds=1), reads=True)
    except Unsupported:
        return {queue: apart[queue] for queue in queues}
    return found
