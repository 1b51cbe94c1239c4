"""Keeping tasks: renewals of many leases in one update, and news of those held."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from mongoq.model import Task
from mongoq.storage import documents, filters, updates
from mongoq.storage.commands import Op, find, update_many
from mongoq.storage.context import Context
from mongoq.storage.patience import Around, update_around


def renew(context: Context, keys: Collection[str], tokens: Collection[str], lease: timedelta) -> Op[Around]:
    """Hold these tasks for `lease` from now on; how many are still held, and which could not be reached.

    A lease that ran out but that nobody took is renewed too: the token still fits, and it saves a second run.
    """
    update = updates.renewed(context.clock.now(), lease)
    return (
        yield from update_around(
            context.tasks,
            list(keys),
            lambda some: filters.held(some, tokens),
            update,
            undone=filters.lease_other_than(update["$set"]),
        )
    )


def look(context: Context, keys: Collection[str], tokens: Collection[str]) -> Op[dict[str, bool]]:
    """Which of these tasks are still held, and whether somebody asked for their end."""
    only = [documents.KEY, documents.CANCEL_REQUESTED]
    found = yield from find(context.tasks, filters.held(keys, tokens), only=only, hint="_id_")
    return {document[documents.KEY]: bool(document.get(documents.CANCEL_REQUESTED)) for document in found}


def catch_up(context: Context, token: str) -> Op[None]:
    """Wait until a majority has what this primary has; without it a majority read may show less.

    Every write waits for that, one that finds nothing too. Of 18 tasks claimed on a primary that died with its
    reply, the next one (6.0.5) showed 1: the others were held by nobody until their leases had run out.
    """
    yield from update_many(context.tasks, filters.held([token], [token]), updates.once_more(token))


def renew_each(context: Context, tasks: Sequence[Task], lease: timedelta | None) -> Op[list[str]]:
    """Hold these tasks longer, each for its own lease where none is given; the keys of those that were lost.

    One update, or one for each length of lease among them.
    """
    lengths: dict[timedelta, dict[tuple[str, str], None]] = {}
    for task in tasks:
        length = lease or context.options.policy.over(task.policy).lease
        # A task that was not claimed has no token, and matches nothing.
        lengths.setdefault(length, {})[task.key, task.token or "-"] = None
    lost: list[str] = []
    for length, claims in lengths.items():
        keys, tokens = [key for key, _ in claims], {token for _, token in claims}
        if (yield from renew(context, keys, tokens, length)).updated < len(claims):
            only = [documents.KEY, documents.TOKEN]
            found = yield from find(context.tasks, filters.held(keys, tokens), only=only, hint="_id_")
            mine = {(document[documents.KEY], document[documents.TOKEN]) for document in found}
            lost += [key for key, token in claims if (key, token) not in mine]
    return lost
