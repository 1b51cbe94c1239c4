"""Keeping tasks: renewals of many leases in one update, and news of those held."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from mongoq.storage import documents, filters, updates
from mongoq.storage.commands import Op, find
from mongoq.storage.context import Context
from mongoq.storage.patience import update_around


def renew(context: Context, keys: Collection[str], tokens: Collection[str], lease: timedelta) -> Op[int]:
    """Hold these tasks for `lease` from now on; how many are still held.

    A lease that ran out but that nobody took is renewed too: the token still fits, and it saves a second run.
    """
    update = updates.renewed(context.clock.now(), lease)
    around = yield from update_around(
        context.tasks,
        list(keys),
        lambda some: filters.held(some, tokens),
        update,
        undone=filters.lease_other_than(update["$set"]),
    )
    return around.updated


def look(context: Context, keys: Collection[str], tokens: Collection[str]) -> Op[dict[str, bool]]:
    """Which of these tasks are still held, and whether somebody asked for their end."""
    only = [documents.KEY, documents.CANCEL_REQUESTED]
    found = yield from find(context.tasks, filters.held(keys, tokens), only=only, hint="_id_")
    return {document[documents.KEY]: bool(document.get(documents.CANCEL_REQUESTED)) for document in found}
