"""What is due at the moment of a call, for a worker that does so much and then ends."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from mongoq.storage.commands import Filter, Op, find_one
from mongoq.storage.context import Context
from mongoq.storage.control import Pause
from mongoq.storage.documents import fields, filters, indexes
from mongoq.storage.documents.names import but_keys
from mongoq.storage.operations.namespace.orders import admitted

MARGIN: Final = timedelta(milliseconds=20)
"""By so much the clock of another producer may be ahead whose task is already here."""


def by_now(context: Context) -> Op[datetime]:
    """An instant by which all that is there has come, and which is over when this returns.

    It takes as long as the server's time is uncertain, and `MARGIN`.
    """
    now, instant = context.clock.earliest(), context.clock.latest() + MARGIN
    yield Pause((instant - now).total_seconds())
    return instant


def left(
    context: Context,
    queues: Sequence[str],
    where: Mapping[str, Any] | None,
    names: Sequence[str],
    due_by: datetime,
    *,
    but: Collection[str] = (),
) -> Op[bool]:
    """Whether any task that was due then can still be started: it is ready, due, or left by a worker that vanished."""
    chosen = admitted(context, queues, where, names, due_by=due_by)
    if chosen is None:
        return False
    finds: list[tuple[Filter, str]] = [
        ({}, indexes.CLAIM_NAME if names else indexes.CLAIM),
        (filters.due(due_by), indexes.DUE),
        (filters.lease_over(due_by), indexes.LEASE),
    ]
    for more, index in finds:
        if (
            yield from find_one(context.tasks, {**chosen, **more, **but_keys(but)}, only=[fields.KEY], hint=index)
        ) is not None:
            return True
    return False
