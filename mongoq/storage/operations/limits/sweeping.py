"""The sweep of limits: it lets go who waits for room that nobody saw come, as after a crash, and for time to pass."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final, NamedTuple

from mongoq.core.errors import IndexMissing
from mongoq.core.tasks.read_only import EMPTY
from mongoq.storage.commands import Op
from mongoq.storage.context import Context
from mongoq.storage.operations.limits import parking, rates

GROUPS: Final = 200
"""Groups that one sweep looks at; the next goes on behind them."""
SOONEST: Final = timedelta(milliseconds=10)
QUANTUM: Final = parking.AHEAD / 2
"""Seconds of starts that are taken together: who comes first takes them all, so that processes rarely race."""


class Looked(NamedTuple):
    """What one sweep did."""

    moved: int = 0
    """How many tasks it let go."""
    next: timedelta | None = None
    """Time until the next start of a rate limit for which tasks wait; None: none waits for time to pass."""
    full: bool = False
    """Whether there are more groups than one sweep looks at."""
    due: Mapping[str, int] = EMPTY
    """How many starts there are within the time ahead, by group, where the caller gives them to parked tasks."""


def sweep_limits(context: Context, ahead: float = 0.0, *, serves: bool = False) -> Op[Looked]:
    """Let tasks go that wait for groups with room, or with starts within the seconds that lie ahead.

    With `serves` the caller gives starts to parked tasks: they are counted only. Each group is found by one step in the
    index, however many tasks wait for it.
    """
    if not context.gate.limited:
        return Looked()
    try:
        groups, full = yield from _groups(context)
        return (yield from (_served if serves else _swept)(context, groups, full=full, ahead=ahead))
    except IndexMissing:
        return Looked()


def _groups(context: Context) -> Op[tuple[list[str], bool]]:
    """The next groups for which tasks wait, or waited; whether there are more."""
    gate = context.gate
    groups = yield from parking.groups_after(context, gate.swept_to, GROUPS)
    full = len(groups) == GROUPS
    gate.swept_to = groups[-1] if full else ""
    return groups, full


def _swept(context: Context, groups: list[str], *, full: bool, ahead: float) -> Op[Looked]:
    if not groups:
        return Looked()
    moved = yield from parking.look(context, groups, ahead)
    looks = yield from rates.looks(context, rates.rated(context, groups))
    soonest = min((look.wait for look in looks.values()), default=None)
    return Looked(moved, None if soonest is None else max(SOONEST, soonest - timedelta(seconds=ahead)), full)


def _served(context: Context, groups: list[str], *, full: bool, ahead: float) -> Op[Looked]:
    rated = rates.rated(context, groups)
    others = [group for group in groups if group not in rated]
    moved = (yield from parking.look(context, others, ahead)) if others else 0
    looks = yield from rates.looks(context, rated, parking.MOST, ahead)
    due = {group: look.starts for group, look in looks.items() if look.starts}
    waiting = (yield from parking.first(context, dict.fromkeys(due, 1))) if due else {}
    due = {group: count for group, count in due.items() if group in waiting}
    waits = [look.wait - timedelta(seconds=ahead) for look in looks.values() if not look.starts]
    soonest = min([*waits, *([timedelta(0)] if due else [])], default=None)
    return Looked(moved, None if soonest is None else soonest + timedelta(seconds=QUANTUM), full, due)
