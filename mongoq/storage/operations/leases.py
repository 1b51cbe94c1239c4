"""Keeping tasks: renewals of many leases in one update, and news of those held."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from mongoq.core.errors import LeaseLost, StorageUnavailable
from mongoq.core.task import Task
from mongoq.core.validation import whole_milliseconds
from mongoq.storage.commands import Document, Op, find, update_many
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters, updates
from mongoq.storage.operations.skip_locked import update_around

Claimed = tuple[str, str]
"""A task by its key, and the token of its claim: the same task may be held once more under another."""


class Held(NamedTuple):
    """What is known of a claim that still holds."""

    cancel: bool
    """Whether somebody asked for the task's end."""
    until: datetime | None
    """The end of its lease."""


class Renewed(NamedTuple):
    """What a renewal did not reach."""

    lost: Sequence[Claimed] = ()
    """Those that are not held any more."""
    passed: Sequence[Claimed] = ()
    """Those whose leases run on, as somebody's open transaction holds the tasks."""


def renew(context: Context, claims: Collection[Claimed], lease: timedelta) -> Op[Renewed]:
    """Hold these tasks for `lease` from now on; which are lost, and which could not be reached.

    A lease that ran out but that nobody took is renewed too: the token still fits, and it saves a second run. Where
    replies were missing, what counts as renewed is what a majority has; StorageUnavailable where that is not known.
    """
    update = updates.renewed(context.clock.now(), lease)
    keys, tokens = _names(claims)
    around = yield from update_around(
        context.tasks,
        keys,
        lambda some: filters.held(some, tokens),
        update,
        undone=filters.lease_other_than(update["$set"]),
    )
    if around.updated == len(claims) and not around.doubtful:
        return Renewed()
    if around.doubtful:
        yield from catch_up(context, tokens[0])
    held = yield from look(context, claims, majority=around.doubtful)
    lost = [claim for claim in claims if claim not in held]
    if not around.doubtful:
        return Renewed(lost)
    until = whole_milliseconds(update["$set"][fields.LEASE_UNTIL])
    return Renewed(lost, [claim for claim, now in held.items() if now.until is None or now.until < until])


def look(context: Context, claims: Collection[Claimed], *, majority: bool = False) -> Op[dict[Claimed, Held]]:
    """Those of these claims that still hold."""
    only = [fields.KEY, fields.TOKEN, fields.CANCEL_REQUESTED, fields.LEASE_UNTIL]
    where = filters.held(*_names(claims))
    found = yield from find(context.tasks, where, only=only, hint="_id_", majority=majority)
    held = {(document[fields.KEY], document[fields.TOKEN]): _held(document) for document in found}
    return {claim: held[claim] for claim in claims if claim in held}


def catch_up(context: Context, token: str) -> Op[None]:
    """Wait until a majority has what this primary has; without it a majority read may show less.

    Every write waits for that, one that finds nothing too. Of 18 tasks claimed on a primary that died with its
    reply, the next one (6.0.5) showed 1: the others were held by nobody until their leases had run out.
    """
    yield from update_many(context.tasks, filters.held([token], [token]), updates.once_more(token))


def renew_each(context: Context, tasks: Sequence[Task], lease: timedelta | None) -> Op[None]:
    """Hold these tasks longer, each for its own lease where none is given.

    One update, or one for each length of lease among them. LeaseLost names those that were lost. StorageUnavailable
    where some are held by a transaction: then the others are renewed, and if some are lost, that is its cause.
    """
    lengths: dict[timedelta, dict[Claimed, None]] = {}
    for task in tasks:
        length = lease or context.options.policy.over(task.policy).lease
        # A task that was not claimed has no token, and matches nothing.
        lengths.setdefault(length, {})[task.key, task.token or "-"] = None
    gone: list[str] = []
    passed: list[str] = []
    for length, claims in lengths.items():
        renewed = yield from renew(context, claims, length)
        gone += [key for key, _ in renewed.lost]
        passed += [key for key, _ in renewed.passed]
    lost = LeaseLost(gone) if gone else None
    if passed:
        shown = ", ".join(passed[:3]) + (", ..." if len(passed) > 3 else "")
        message = f"an open transaction holds {len(passed)} task(s), whose leases were not renewed: {shown}"
        raise StorageUnavailable(message) from lost
    if lost:
        raise lost


def _held(document: Document) -> Held:
    until = document.get(fields.LEASE_UNTIL)
    return Held(bool(document.get(fields.CANCEL_REQUESTED)), until if isinstance(until, datetime) else None)


def _names(claims: Collection[Claimed]) -> tuple[list[str], list[str]]:
    """Keys and tokens, each once."""
    return list(dict.fromkeys(key for key, _ in claims)), list(dict.fromkeys(token for _, token in claims))
