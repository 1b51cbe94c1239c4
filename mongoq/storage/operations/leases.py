"""Renew leases, many in one update, and look up which claims still hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from mongoq.core.errors import LeaseLost, StorageUnavailable
from mongoq.core.tasks.task import Task
from mongoq.core.validation import whole_milliseconds
from mongoq.storage.commands import Document, Op, find
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters, hold, updates
from mongoq.storage.operations.recovery.lost_replies import catch_up
from mongoq.storage.operations.recovery.skip_locked import update_skipping_locked

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


def renew(context: Context, claims: Collection[Claimed], lease: timedelta, *, bring_back: bool = False) -> Op[Renewed]:
    """Extend the leases of these claims to at least `lease` from now, and return the claims that were not reached.

    An expired lease is renewed too if no other claimant took the task: this saves a second run. After a lost reply a
    claim counts as renewed if a majority shows it; raises StorageUnavailable if that is not known.

    A lease that lasts longer already keeps its end, so that a renewal that arrives behind newer ones takes no lease
    back in time. With `bring_back` it gets the end that was asked for. Then call again with `bring_back` until a
    reply has come: until then such a write may still be on its way.
    """
    if bring_back:
        return (yield from _bring_back(context, claims, lease))
    now = context.clock.latest()
    update, wanted = updates.renewed(now, lease), whole_milliseconds(now + lease)
    keys, tokens = _names(claims)
    written = yield from update_skipping_locked(
        context.tasks,
        keys,
        lambda some: filters.held(some, tokens),
        update,
        undone=filters.lease_before(wanted),
    )
    if written.updated == len(claims) and not written.doubtful:
        return Renewed()
    if written.doubtful:
        yield from catch_up(context, tokens[0])
    held = yield from look(context, claims, majority=written.doubtful)
    lost = [claim for claim in claims if claim not in held]
    if not written.doubtful:
        return Renewed(lost)
    return Renewed(lost, [claim for claim, now in held.items() if now.until is None or now.until < wanted])


def _bring_back(context: Context, claims: Collection[Claimed], lease: timedelta) -> Op[Renewed]:
    """Set the leases that are longer to `lease` from now, and renew the others.

    Each is written only while it has the end that was read. So a write that arrives late, behind a renewal, changes
    nothing.
    """
    held = yield from look(context, claims)
    now = context.clock.latest()
    longer: dict[datetime, list[Claimed]] = defaultdict(list)
    rest: list[Claimed] = []
    for claim, found in held.items():
        if found.until is not None and found.until > now + lease:
            longer[found.until].append(claim)
        else:
            rest.append(claim)
    missed: list[Claimed] = []
    for until, some in longer.items():
        keys, tokens = _names(some)
        guard = partial(filters.held_until, tokens=tokens, until=until)
        written = yield from update_skipping_locked(context.tasks, keys, guard, updates.shortened(now, lease))
        if written.updated < len(some) or written.doubtful:
            missed += some
    renewed = (yield from renew(context, rest, lease)) if rest else Renewed()
    gone = [claim for claim in claims if claim not in held]
    return Renewed([*gone, *renewed.lost], [*missed, *renewed.skipped])


def look(context: Context, claims: Collection[Claimed], *, majority: bool = False) -> Op[dict[Claimed, Held]]:
    """Find those of these claims that still hold."""
    only = [fields.KEY, fields.TOKEN, fields.CANCEL_REQUESTED, fields.LEASE_UNTIL]
    where = filters.held(*_names(claims))
    found = yield from find(context.tasks, where, only=only, hint="_id_", majority=majority)
    held = {(document[fields.KEY], hold.token(document)): _held(document) for document in found}
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
    until = hold.until(document)
    return Held(bool(document.get(fields.CANCEL_REQUESTED)), until if isinstance(until, datetime) else None)


def _names(claims: Collection[Claimed]) -> tuple[list[str], list[str]]:
    """The keys and the tokens of these claims, each once."""
    return list(dict.fromkeys(key for key, _ in claims)), list(dict.fromkeys(token for _, token in claims))
