"""The sweep of limits: it lets go who waits for room that nobody saw come, as after a crash or a deletion."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from mongoq.core.errors import IndexMissing
from mongoq.storage.commands import Op
from mongoq.storage.context import Context
from mongoq.storage.operations.limits import parking
from mongoq.storage.operations.sweep import BLOCKED, Swept

GROUPS: Final = 200
"""Groups that one sweep looks at; the next goes on behind them."""


def sweep_limits(context: Context, skip_keys: Collection[str] = ()) -> Op[Swept]:
    """Let tasks go that wait for groups with room.

    Each group is found by one step in the index, however many tasks wait for it.
    """
    del skip_keys
    gate = context.gate
    if not (gate.limits or gate.limited):
        return Swept(0, None)
    try:
        groups: list[str] = []
        after = gate.swept_to
        while len(groups) < GROUPS:
            group = yield from parking.groups_after(context, after)
            if group is None:
                break
            groups.append(after := group)
        gate.swept_to = after if len(groups) == GROUPS else ""
        moved = yield from parking.look(context, groups)
    except IndexMissing:
        return Swept(0, None)
    return Swept(moved, BLOCKED if moved or len(groups) == GROUPS else None)
