"""The filters of what operators choose by. Pure."""

from __future__ import annotations

from datetime import datetime

from mongoq.core.choosing.selection import TaskFilter
from mongoq.core.lifecycle import FINISHED
from mongoq.storage.commands import Filter
from mongoq.storage.documents import fields, filters


def selected(chosen: TaskFilter) -> Filter:
    """The tasks that an operator means."""
    found = filters.matching(
        queue=chosen.queue, state=chosen.state, keys=chosen.keys, where=chosen.where, name=chosen.name
    )
    if chosen.error is not None:
        found |= failed_with(chosen.error)
    if times := between(chosen.since, chosen.until):
        found[fields.FINISHED_AT if chosen.state in FINISHED else fields.CREATED_AT] = times
    return found


def failed_with(error: str) -> Filter:
    """Tasks whose last attempt failed with this type of error."""
    return {f"{fields.LAST_ERROR}.type": {"$eq": error}}


def between(since: datetime | None, until: datetime | None) -> Filter:
    """The condition of an instant: from one on, before another."""
    found: Filter = {} if since is None else {"$gte": since}
    return found if until is None else {**found, "$lt": until}
