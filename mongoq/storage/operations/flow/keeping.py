"""How long parents are kept: until their last child was released, and then for at least an hour."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from mongoq.core.lifecycle import FINISHED, TaskState
from mongoq.storage.commands import Bulk, Changing, Document, Op, find
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters, flow, indexes

if TYPE_CHECKING:
    from mongoq.storage.operations.flow.release import Parent


def free_parents(parents: Sequence[Parent], awaited: Collection[str], now: datetime) -> Iterator[Changing]:
    """Note that the children of these were told; the days of those that are not `awaited` by others are counted.

    A completed task stays so. One that failed may be run again at any time, so it must be at the version that was
    read before its children were.
    """
    groups: dict[tuple[bool, int | None, float | None, bool], list[str]] = defaultdict(list)
    for one in parents:
        version = None if one.completed else one.version
        groups[one.completed, version, one.keep, one.key not in awaited].append(one.key)
    for (completed, version, keep, free), keys in groups.items():
        where = flow.unsettled(keys)
        if completed:
            where[fields.STATE] = TaskState.COMPLETED.value
        else:
            where[fields.VERSION] = version
        yield Changing(where, flow.settled(now, keep, free=free), many=True)


def others_to_date(context: Context, children: Sequence[Document], ended: Collection[str], now: datetime) -> Op[None]:
    """Count the days of the other parents of children that were just released, where no child waits any more."""
    others = {
        key
        for child in children
        if len(child[fields.PARENTS]) > 1 and not set(child[fields.AFTER]) - set(ended)
        for key in child[fields.PARENTS]
    } - set(ended)
    if not others:
        return
    finished = {"$in": [state.value for state in FINISHED]}
    where = {
        **filters.by_keys(sorted(others)),
        fields.STATE: finished,
        fields.KEEP: {"$exists": True},
        fields.BATCH: None,
    }
    found = yield from find(context.tasks, where, only=[fields.KEEP], hint="_id_")
    keeps = {one[fields.KEY]: one[fields.KEEP] for one in found}
    if not keeps:
        return
    waiting = {fields.PARENTS: {"$in": list(keeps)}, fields.STATE: TaskState.PARKED.value}
    parked = yield from find(context.tasks, waiting, only=[fields.PARENTS], hint=indexes.PARENTS)
    awaited = {key for child in parked for key in child[fields.PARENTS]}
    writes = [
        Changing({fields.KEY: key, fields.KEEP: keep}, _dated(flow.purge_at(now, keep)))
        for key, keep in keeps.items()
        if key not in awaited
    ]
    if writes:
        yield Bulk(context.tasks, writes, ordered=False)


def _dated(purge_at: datetime) -> dict[str, dict[str, object]]:
    return {"$set": {fields.PURGE_AT: purge_at}, "$unset": {fields.KEEP: ""}}
