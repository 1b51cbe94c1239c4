"""The sweep of flow: what somebody left undone, who crashed, or who does not know of children and batches."""

from __future__ import annotations

from collections.abc import Collection

from mongoq.core.errors import IndexMissing
from mongoq.storage.commands import Op, nothing
from mongoq.storage.context import Context
from mongoq.storage.operations.flow import calling
from mongoq.storage.operations.flow.check import check_forgotten
from mongoq.storage.operations.flow.release import settle
from mongoq.storage.operations.flow.vanished import look_for_parents
from mongoq.storage.operations.sweep import BLOCKED, Swept


def sweep_flow(context: Context, skip_keys: Collection[str] = ()) -> Op[Swept]:
    """Tell children of parents that ended or are gone, look at forgotten ones, and at batches that are due.

    Where its indexes are not there yet, as their first user is about to build them, it does nothing.
    """
    del skip_keys
    try:
        return (yield from _swept(context) if context.gate.flow else nothing(Swept(0, None)))
    except IndexMissing:
        return Swept(0, None)


def _swept(context: Context) -> Op[Swept]:
    settled, touched = yield from settle(context)
    checked, also = yield from check_forgotten(context)
    missing, orphaned = yield from look_for_parents(context)
    looked, called = yield from calling.look_at_due(context)
    if touched := touched | also | orphaned:
        called |= yield from calling.look(context, sorted(touched))
    moved = settled + checked + missing + int(called)
    return Swept(moved, BLOCKED if moved or looked == calling.LOOKED_AT else None)
