"""Renew leases, many in one update, and look up which claims still hold."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from mongoq.core.errors import LeaseLost, StorageUnavailable
from mongoq.core.task import Task
from mongoq.core.validation import whole_milliseconds
from mongoq.storage.commands import Document, Op, find
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters, updates
from mongoq.storage.operations.lost_replies import catch_up
from mongoq.storage.operations.skip_locked import update_skipping_locked

Claimed = tuple[str, str]
"""A claim: the task's key and the token. One task may be claimed again, under another token."""


class Held(NamedTuple):
    """A claim that still holds."""

    cancel: bool
    """Whether a cancel was requested."""
    until: datetime | None
    """When its lease ends."""


class Renewed(NamedTuple):
    """The claims that a renewal did not reach."""

    lost: Sequence[Claimed] = ()
    """Those that no longer hold."""
    skipped: Sequence[Claimed] = ()
    """Those whose tasks an open transaction holds: their leases keep the old end."""


def renew(context: Context, claims: Collection[Claimed], lease: timedelta) -> Op[Renewed]:
    """Extend the leases of these claims to `lease` from now, and return the claims that were not reached.

    An expired lease is renewed too if no other claimant took the task: this saves a second run. After a lost reply a
    claim counts as renewed if a majority shows it; raises StorageUnavailable if that is not known.
    """
    update = updates.renewed(context.clock.now(), lease)
    keys, tokens = _names(claims)
    written = yield from update_skipping_locked(
        context.tasks,
        keys,
        lambda some: filters.held(some, tokens),
        update,
        undone=filters.lease_other_than(update["$set"]),
    )
    if written.updated == len(claims) and not written.doubtful:
        return Renewed()
    if written.doubtful:
        yield from catch_up(context, tokens[0])
    held = yield from look(context, claims, majority=written.doubtful)
    lost = [claim for claim in claims if claim not in held]
    if not written.doubtful:
        return Renewed(lost)
    until = whole_milliseconds(update["$set"][fields.LEASE_UNTIL])
    return Renewed(lost, [claim for claim, now in held.items() if now.until is None or now.until < until])


def look(context: Context, claims: Collection[Claimed], *, majority: bool = False) -> Op[dict[Claimed, Held]]:
    """Find those of these claims that still hold."""
    only = [fields.KEY, fields.TOKEN, fields.CANCEL_REQUESTED, fields.LEASE_UNTIL]
    where = filters.held(*_names(claims))
    found = yield from find(context.tasks, where, only=only, hint="_id_", majority=majority)
    held = {(document[fields.KEY], document[fields.TOKEN]): _held(document) for document in found}
    return {claim: held[claim] for claim in claims if claim in held}


def renew_each(context: Context, tasks: Sequence[Task], lease: timedelta | None) -> Op[None]:
    """Renew the leases of these tasks, by one update for each length; None: each task's own length.

    Raises LeaseLost with the tasks that are no longer held. Raises StorageUnavailable when an open transaction holds
    some; the others are renewed then, and a LeaseLost is its cause.
    """
    lengths: dict[timedelta, dict[Claimed, None]] = {}
    for task in tasks:
        length = lease or context.options.policy.over(task.policy).lease
        # A task that was not claimed has no token, and matches nothing.
        lengths.setdefault(length, {})[task.key, task.token or "-"] = None
    gone: list[str] = []
    skipped: list[str] = []
    for length, claims in lengths.items():
        renewed = yield from renew(context, claims, length)
        gone += [key for key, _ in renewed.lost]
        skipped += [key for key, _ in renewed.skipped]
    lost = LeaseLost(gone) if gone else None
    if skipped:
        shown = ", ".join(skipped[:3]) + (", ..." if len(skipped) > 3 else "")
        message = f"an open transaction holds {len(skipped)} task(s), whose leases were not renewed: {shown}"
        raise StorageUnavailable(message) from lost
    if lost:
        raise lost


def _held(document: Document) -> Held:
    until = document.get(fields.LEASE_UNTIL)
    return Held(bool(document.get(fields.CANCEL_REQUESTED)), until if isinstance(until, datetime) else None)


def _names(claims: Collection[Claimed]) -> tuple[list[str], list[str]]:
    """The keys and the tokens of these claims, each once."""
    return list(dict.fromkeys(key for key, _ in claims)), list(dict.fromkeys(token for _, token in claims))
