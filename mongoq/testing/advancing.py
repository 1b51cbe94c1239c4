"""How the clock of a queue is moved to what becomes due."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from mongoq.api.base import Base
from mongoq.core.requests import ClaimRequest, checked_seconds
from mongoq.core.validation import Checker, Duration
from mongoq.storage.commands import Op, find_one
from mongoq.storage.documents import fields, filters, indexes
from mongoq.storage.operations.limits.sweeping import sweep_limits
from mongoq.storage.operations.schedules import keep


class Far(NamedTuple):
    """How far the clock is moved."""

    moves: bool
    ticks: datetime | None
    """The last tick to which it is moved."""
    end: datetime | None
    """Where it stands in the end; None: where nothing is left."""


def far_of(base: Base, wanted: ClaimRequest, until: Duration | None, *, advance: bool) -> Op[Far]:
    """How far to move the clock of a queue."""
    if not advance:
        return Far(moves=False, ticks=None, end=None)
    if until is not None:
        end = base.context.clock.now() + timedelta(seconds=checked_seconds("until", until))
        return Far(moves=True, ticks=end, end=end)
    next_tick = yield from base.read(keep.next_tick(base.context, wanted.queues))
    return Far(moves=True, ticks=next_tick, end=None)


def advanced(base: Base, wanted: ClaimRequest, far: Far) -> Op[bool]:
    """Move the clock to what becomes due next in these queues, or to the end; whether it was moved."""
    if not far.moves:
        return False
    context = base.context
    clock: Any = context.clock  # a FrozenClock, or one that is moved as it is
    ours = {**filters.named(wanted.queues), **filters.tagged(wanted.where)}
    awaited = (
        (filters.first_scheduled(), fields.RUN_AT, indexes.DUE, timedelta(0)),
        (filters.first_running(), fields.LEASE_UNTIL, indexes.LEASE, filters.SKEW),
    )
    due = []
    for state, field, index, after in awaited:
        where = {**ours, **state}
        found = yield from base.read(find_one(context.tasks, where, only=[field], sort=[(field, 1)], hint=index))
        if found is not None:
            due.append(fields.value_of(found, field) + after)
    looked = yield from base.read(sweep_limits(context))
    if looked.next is not None:
        due.append(context.clock.now() + looked.next)
    tick_at = yield from base.read(keep.next_tick(context, wanted.queues))
    if tick_at is not None and far.ticks is not None and tick_at <= far.ticks:
        due.append(tick_at)
    if far.end is not None:
        due = [one for one in due if one <= far.end] or [far.end] * (clock.now() < far.end)
    if due:
        clock.advance(max(0.0, (min(due) - clock.now()).total_seconds()))
    return bool(due)


def check_clock(base: Base, *, advance: bool) -> None:
    """Raise ConfigurationError where the clock of a queue cannot be moved and should be."""
    checker = Checker()
    if advance and not hasattr(base.context.clock, "advance"):
        checker.refuse(
            "advance", advance, "False, or a queue with clock=FrozenClock(): this one's clock runs by itself"
        )
    checker.finish()
