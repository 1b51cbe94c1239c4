"""Which index serves a page, and in which order it brings the tasks. Pure.

A walk starts anywhere in the order of its index: the part behind a place is one range for each field of the order, and
each range is one scan (`ranges`). No walk sorts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from mongoq.core.lifecycle import FINISHED, TaskState
from mongoq.paging.page import PageRequest
from mongoq.storage.commands import Document, Filter
from mongoq.storage.documents import fields, filters, indexes
from mongoq.storage.documents.names import named_as, ready_as
from mongoq.storage.operations.looking.selecting import between, failed_with

Order = tuple[tuple[str, int], ...]
CASCADE: Final = (
    TaskState.RUNNING, TaskState.READY, TaskState.SCHEDULED, TaskState.FAILED, TaskState.EXPIRED,
    TaskState.CANCELLED, TaskState.COMPLETED,
)  # fmt: skip
"""The states of one queue, in the order in which they matter."""
_BY_QUEUE: Final[Order] = ((fields.QUEUE, 1), (fields.STATE, 1))
"""The beginning of an index without a queue. Without the state in between the server would sort."""
_BY_NAME: Final[Order] = ((fields.NAME, 1), (fields.STATE, 1))
_LIVE: Final[dict[TaskState, tuple[str, Order]]] = {
    TaskState.READY: (indexes.CLAIM, tuple(indexes.URGENCY)),
    TaskState.SCHEDULED: (indexes.DUE, ((fields.RUN_AT, 1),)),
    TaskState.RUNNING: (indexes.LEASE, ((fields.LEASE_UNTIL, 1),)),
}


@dataclass(frozen=True, slots=True)
class Walk:
    """A run along one index."""

    index: str
    where: Filter
    """What the index itself knows of what is asked for."""
    order: Order
    """The fields by which it is ordered, behind those that are the same for all."""
    total: bool = False
    """Whether no two tasks share a place."""
    merged: bool = False
    """Whether it goes through all queues at once, the newest first."""

    def values(self, document: Document) -> list[Any]:
        """The place of a document in the order."""
        return [fields.value_of(document, field) for field, _ in self.order]


def walks(wanted: PageRequest) -> list[Walk]:
    """The walks whose tasks a page shows, one after the other."""
    if wanted.state is not None and wanted.state is not TaskState.PARKED:
        return [_of_state(wanted, wanted.state)]
    if wanted.queue is not None and wanted.state is None:
        return [_of_state(wanted, state) for state in CASCADE]
    prefix = wanted.prefix or ""
    keys = {"$gte": prefix, **({"$lt": f"{prefix}\U0010ffff"} if prefix else {})}
    return [Walk("_id_", {fields.KEY: keys}, ((fields.KEY, -1),), total=True)]


def by_name(wanted: PageRequest) -> bool:
    """Whether the index of the claims by name serves a page: it has the ready tasks alone."""
    return wanted.named and wanted.name is not None and wanted.state is TaskState.READY


def rest(wanted: PageRequest) -> Filter:
    """What no index knows of what is asked for."""
    found = filters.tagged(wanted.where)
    if wanted.state is TaskState.PARKED:  # no index has them in any order
        found |= filters.matching(queue=wanted.queue, state=wanted.state)
    if wanted.name is not None and not by_name(wanted):
        found |= named_as(wanted.name)
    if wanted.error is not None:
        found |= failed_with(wanted.error)
    if (times := between(wanted.since, wanted.until)) and wanted.state not in FINISHED:
        found[fields.CREATED_AT] = times
    return found


def ranges(walk: Walk, values: Sequence[Any], passed: int) -> list[tuple[Filter, int]]:
    """The parts of a walk behind a place, in order, each with how many tasks are to be skipped there."""
    names = [field for field, _ in walk.order]
    same = [{name: {"$eq": value}} for name, value in zip(names, values, strict=True)]
    found = [] if walk.total else [({"$and": [walk.where, *same]}, passed)]
    for number in range(len(names) - 1, -1, -1):
        if names[number] == fields.STATE:  # it is the same for all
            continue
        beyond = "$gt" if walk.order[number][1] > 0 else "$lt"
        part = {names[number]: {beyond: values[number]}}
        found.append(({"$and": [walk.where, *same[:number], part]}, 0))
    return found


def _of_state(wanted: PageRequest, state: TaskState) -> Walk:
    # Bounds on the queue, even wide ones: without any the server reads documents to check their state.
    where: Filter = {fields.STATE: state.value, fields.QUEUE: {"$gte": ""}}
    if wanted.queue is not None:
        where[fields.QUEUE] = {"$eq": wanted.queue}
    if state in FINISHED:
        return _finished(wanted, where)
    index, order = _LIVE[state]
    if by_name(wanted) and wanted.name is not None:
        order = (*_BY_NAME, *order) if wanted.queue is not None else ((fields.QUEUE, 1), *_BY_NAME, *order)
        return Walk(indexes.CLAIM_NAME, where | ready_as(wanted.name), order, total=True)
    if state is TaskState.READY and wanted.queue is None:
        order = (*_BY_QUEUE, *order)
    return Walk(index, where, order, total=state is TaskState.READY)


def _finished(wanted: PageRequest, where: Filter) -> Walk:
    if (times := between(wanted.since, wanted.until)) and wanted.state in FINISHED:
        where[fields.FINISHED_AT] = times
    newest: Order = ((fields.FINISHED_AT, -1),)
    if wanted.queue is not None:
        return Walk(indexes.FINISHED_AT, where, newest)
    if rest(wanted):
        return Walk(indexes.FINISHED_AT, where, (*_BY_QUEUE, *newest))
    return Walk(indexes.FINISHED_AT, where, newest, merged=True)
