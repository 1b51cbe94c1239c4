"""Look at the limits: what is stored of them, their groups, the heads of their lines, and slots that nobody frees."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from mongoq.core.errors import IndexMissing
from mongoq.core.lifecycle import TaskState
from mongoq.diagnosis.facts import Limits, Line
from mongoq.limiting.limit import LimitGroup
from mongoq.storage.commands import Document, Op, find
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters, indexes
from mongoq.storage.documents.limiting import definitions
from mongoq.storage.operations.examining.tasks import LATE, STALE
from mongoq.storage.operations.history import answer
from mongoq.storage.operations.limits import keeping
from mongoq.storage.operations.namespace import orders

MOST: Final = 100


def limits(context: Context) -> Op[Limits]:
    """The limits and what blocks in them; nothing where there is none."""
    yield from orders.read(context)
    stored = yield from find(context.control, definitions.all_of_them(), only=[fields.KEY])
    known = context.gate.limits
    names = [str(one[fields.KEY]).removeprefix(definitions.PREFIX) for one in stored]
    if not names:
        return Limits()
    unreadable = tuple(name for name in names if name not in known)
    try:
        groups = yield from keeping.groups(context, (yield from _told_of(context)))
        held = yield from _held(context)
    except IndexMissing:  # no task was ever under one of them
        return Limits(list(known.values()), unreadable)
    lines = yield from _lines(context, groups)
    return Limits(list(known.values()), unreadable, groups, lines, held)


def _told_of(context: Context) -> Op[list[str]]:
    """The limits whose groups the checks look at: strict lines and rates for which tasks wait, the fullest first.

    The groups of one limit take three commands, the sums of all limits two at most.
    """
    known = context.gate.limits
    use = yield from answer.limits(context, exact=False)
    waiting = {name: use[name].waiting if name in use else 1 for name in known}
    chosen = [name for name, limit in known.items() if waiting[name] and (limit.is_fifo or limit.rate is not None)]
    return sorted(chosen, key=lambda name: (-waiting[name], name))[:MOST]


def _held(context: Context) -> Op[dict[str, str]]:
    """Slots of tasks whose lease has been over for long."""
    where = filters.lease_over(context.clock.earliest() - LATE)
    only = [fields.KEY, fields.SLOTS]
    found = yield from find(
        context.tasks, where, only=only, sort=[(fields.LEASE_UNTIL, 1)], hint=indexes.LEASE, limit=MOST
    )
    slots = {str(one[fields.KEY]): fields.value_of(one, fields.SLOTS) for one in found}
    return {key: str(held[0]) for key, held in slots.items() if isinstance(held, list) and held}


def _lines(context: Context, groups: Sequence[LimitGroup]) -> Op[list[Line]]:
    """The lines that halt behind a task which waits for its retry, its time or its parents."""
    behind = {one.behind: one for one in groups if one.behind is not None and one.waiting}
    keys = list(behind)[:MOST]
    if not keys:
        return []
    only = [fields.KEY, fields.STATE, fields.LAST_ERROR, fields.RUN_AT, fields.MODIFIED_AT]
    found = yield from find(context.tasks, filters.by_keys(keys), only=only, hint="_id_")
    now = context.clock.now()
    return [_line(behind[one[fields.KEY]], one) for one in found if _halts(one, now)]


def _halts(head: Document, now: datetime) -> bool:
    """Whether the head waits for its time, or has been parked for long: each is for a moment, until it is let go."""
    if head.get(fields.STATE) == TaskState.SCHEDULED.value:
        return True
    modified_at = head.get(fields.MODIFIED_AT)
    parked = head.get(fields.STATE) == TaskState.PARKED.value
    return parked and isinstance(modified_at, datetime) and now - modified_at > STALE


def _line(group: LimitGroup, head: Document) -> Line:
    error = head.get(fields.LAST_ERROR)
    state = str(head[fields.STATE])
    due = head.get(fields.RUN_AT) if state == TaskState.SCHEDULED.value else None
    return Line(group, str(head[fields.KEY]), state, error.get("type") if isinstance(error, dict) else None, due)
