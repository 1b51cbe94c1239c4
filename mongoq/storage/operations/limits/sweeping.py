"""The sweep of limits: it lets go who waits for room that nobody saw come, as after a crash, and for time to pass."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NamedTuple

from mongoq.core.errors import IndexMissing
from mongoq.storage.commands import Op
from mongoq.storage.context import Context
from mongoq.storage.operations.limits import parking, rates

GROUPS: Final = 200
"""Groups that one sweep looks at; the next goes on behind them."""
SOONEST: Final = timedelta(milliseconds=10)


class Looked(NamedTuple):
    """What one sweep did."""

    moved: int = 0
    """How many tasks it let go."""
    next: timedelta | None = None
    """Time until the next start of a rate limit for which tasks wait; None: none waits for time to pass."""
    full: bool = False
    """Whether there are more groups than one sweep looks at."""


def sweep_limits(context: Context, ahead: float = 0.0) -> Op[Looked]:
    """Let tasks go that wait for groups with room, or with starts within the seconds that lie ahead.

    Each group is found by one step in the index, however many tasks wait for it.
    """
    gate = context.gate
    if not gate.limited:
        return Looked()
    try:
        return (yield from _swept(context, ahead))
    except IndexMissing:
        return Looked()


def _swept(context: Context, ahead: float) -> Op[Looked]:
    gate = context.gate
    groups: list[str] = []
    after = gate.swept_to
    while len(groups) < GROUPS:
        group = yield from parking.groups_after(context, after)
        if group is None:
            break
        groups.append(group)
        after = group
    full = len(groups) == GROUPS
    gate.swept_to = after if full else ""
    if not groups:
        return Looked()
    moved = yield from parking.look(context, groups, ahead)
    waits = yield from rates.waits(context, rates.rated(context, groups))
    soonest = min(waits.values(), default=None)
    return Looked(moved, None if soonest is None else max(SOONEST, soonest - timedelta(seconds=ahead)), full)
