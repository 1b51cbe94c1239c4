"""Look at the heads of the indexes, and at a sample of what is parked: what nobody has moved though it was due."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from mongoq.core.errors import IndexMissing
from mongoq.core.lifecycle import FINISHED, TaskState
from mongoq.diagnosis.facts import Holder, Holders, Overdue, Parked, Waiting
from mongoq.flow.given import WAIT
from mongoq.limiting.limit import limit_of
from mongoq.storage.commands import Count, Document, Filter, Op, find
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters, indexes
from mongoq.storage.operations.namespace import orders

LATE: Final = timedelta(seconds=30)
"""A sweep of any living worker does its work within seconds."""
PURGE_LATE: Final = timedelta(minutes=10)
"""The server removes what is due once a minute, and for as long as that takes."""
MOST: Final = 1_000
SAMPLE: Final = 200
"""Parked tasks that are looked at."""
LONG_LEASE: Final = timedelta(minutes=2)
"""A lease of a worker is 30 s by default: one that is gone is noticed by itself."""
STALE: Final = timedelta(minutes=2)
LEASES: Final = (fields.LEASE_UNTIL, indexes.LEASE)
DUE: Final = (fields.RUN_AT, indexes.DUE)
EXPIRY: Final = (fields.EXPIRES_AT, indexes.EXPIRY)
PURGE: Final = (fields.PURGE_AT, indexes.PURGE)
_SHOWN: Final = (
    fields.KEY, fields.AFTER, fields.WAITS_FOR, fields.ON_PARENT_FAILURE, fields.CALLBACK, fields.CREATED_AT,
    fields.MODIFIED_AT,
)  # fmt: skip


def overdue(context: Context) -> Op[Overdue]:
    """What sweeps and the server's TTL monitor have left undone: the head of each index."""
    now = context.clock.earliest()
    late = now - LATE
    lost = yield from _head(context, filters.lease_over(late), LEASES, [fields.KEY], limit=10)
    due = yield from _head(context, filters.due(late), DUE, [fields.QUEUE])
    over = yield from _head(context, filters.overdue(late), EXPIRY)
    left = filters.purgeable(now - PURGE_LATE)
    unpurged = yield from _head(context, left, PURGE)
    count: int = (yield Count(context.tasks, left, hint=indexes.PURGE, most=MOST)) if unpurged else 0
    return Overdue(
        tuple(str(one[fields.KEY]) for one in lost),
        _since(lost, fields.LEASE_UNTIL, now) or timedelta(0),
        _since(due, fields.RUN_AT, now),
        str(due[0].get(fields.QUEUE, "")) if due else "",
        _since(over, fields.EXPIRES_AT, now),
        count,
        _since(unpurged, fields.PURGE_AT, now) or timedelta(0),
    )


def holders(context: Context) -> Op[Holders]:
    """Who holds running tasks whose leases end last: a sample of them."""
    now = context.clock.now()
    where = filters.held_beyond(now + LONG_LEASE)
    found = yield from _head(context, where, LEASES, [fields.WORKER], limit=SAMPLE)
    held: dict[str, list[datetime]] = {}
    for one in found:
        held.setdefault(str(fields.value_of(one, fields.WORKER)), []).append(fields.value_of(one, fields.LEASE_UNTIL))
    return Holders([Holder(name, len(ends), max(ends)) for name, ends in held.items()])


def parked(context: Context) -> Op[Parked]:
    """Why the parked tasks of a sample wait: for parents, a limit, a pause or a batch, or for nothing that lives."""
    yield from orders.read(context)
    where = filters.in_states([TaskState.PARKED])
    try:
        found = yield from find(context.tasks, where, only=_SHOWN, hint=indexes.PARKED, limit=SAMPLE)
    except IndexMissing:  # built with the first that is parked
        return Parked()
    now = context.clock.now()
    old = [one for one in found if now - _written(one, now) > STALE]
    keys = list(dict.fromkeys(key for one in old for key in _after(one)))[:MOST]
    states = yield from _states(context, keys)
    told = [waiting for one in old if (waiting := _why(context, one, states)) is not None]
    return Parked(
        len(found),
        tuple(one for one in told if one.parent is not None),
        tuple(one for one in told if one.parent is None),
    )


def _head(
    context: Context, where: Filter, head: tuple[str, str], only: Sequence[str] = (), *, limit: int = 1
) -> Op[list[Document]]:
    """The first documents by an index, given with its field."""
    by, index = head
    try:
        shown = [*only, by]
        return (yield from find(context.tasks, where, only=shown, sort=[(by, 1)], hint=index, limit=limit))
    except IndexMissing:  # the look at the indexes tells
        return []


def _since(found: Sequence[Document], field: str, now: datetime) -> timedelta | None:
    instant = fields.value_of(found[0], field) if found else None
    return now - instant if isinstance(instant, datetime) else None


def _written(document: Document, now: datetime) -> datetime:
    instant = document.get(fields.MODIFIED_AT, document.get(fields.CREATED_AT))
    return instant if isinstance(instant, datetime) else now


def _after(document: Document) -> list[str]:
    after = document.get(fields.AFTER)
    return [key for key in after if isinstance(key, str)] if isinstance(after, list) else []


def _states(context: Context, keys: Collection[str]) -> Op[dict[str, str]]:
    if not keys:
        return {}
    found = yield from find(context.tasks, filters.by_keys(list(keys)), only=[fields.KEY, fields.STATE], hint="_id_")
    return {str(one[fields.KEY]): str(one.get(fields.STATE)) for one in found}


def _why(context: Context, task: Document, states: Mapping[str, str]) -> Waiting | None:
    """Why nothing will let a parked task go; None where something will."""
    key, group = str(task[fields.KEY]), task.get(fields.WAITS_FOR)
    if isinstance(group, str):
        now = context.clock.now()
        known = limit_of(group) in context.gate.limits
        held = any(pause.target.group == group for pause in context.gate.parking(now))
        return None if known or held else Waiting(key, f"waits for {group}, which is neither a limit nor a pause")
    if fields.CALLBACK in task:
        return None
    after = _after(task)
    if not after:
        return Waiting(key, "waits for no parent, no limit and no batch")
    finished = {state.value for state in FINISHED}
    if any(parent in states and states[parent] not in finished for parent in after):
        return None
    failed = [one for one in after if states.get(one) not in (None, TaskState.COMPLETED.value)]
    if failed and task.get(fields.ON_PARENT_FAILURE) == WAIT:
        return Waiting(key, f"is {states[failed[0]]}", failed[0])
    return Waiting(key, f"waits for {after[0]}, which {_gone(states.get(after[0]))}")


def _gone(state: str | None) -> str:
    return "is not there any more" if state is None else f"is {state}"
