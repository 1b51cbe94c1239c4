"""Claim tasks that are under limits: those that get a slot of each of their groups; the others are parked."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from mongoq.core.requests import ClaimRequest
from mongoq.storage.commands import Bulk, Changing, Document, Op, Update
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters, updates
from mongoq.storage.documents.limiting import slots
from mongoq.storage.operations import candidates
from mongoq.storage.operations.limits import parking, room
from mongoq.storage.operations.namespace.orders import read_if_old
from mongoq.storage.operations.recovery.lost_replies import catch_up, held_under, holders
from mongoq.storage.operations.recovery.malformed import UNFIT, set_aside
from mongoq.storage.operations.recovery.skip_locked import NOTHING, PartialWrite, write_skipping_locked
from mongoq.storage.refusals import KeyTaken, PartlyWritten

if TYPE_CHECKING:
    from mongoq.storage.operations.claims import Claim

FURTHER: Final = 4
MOST_LOOKED_AT: Final = 1_000
"""Tasks that one claim reads to find some that no limit keeps from running."""


class Claiming(NamedTuple):
    """How a claim is made."""

    wanted: ClaimRequest
    token: str
    now: datetime
    time_limit: timedelta
    most: int
    """How many tasks to claim."""


class Shares(NamedTuple):
    """What is left of the tasks of a claim, when those under limits are dealt with."""

    fresh: list[Document]
    """Those that are claimed: up to the number that is wanted, the most urgent first."""
    plain: list[Document]
    """Those of them that are under no limits, and are yet to be claimed."""
    taken: dict[str, Document]
    """The others that are held now, by key."""
    blocked: list[str]
    doubtful: bool
    parked: int
    """How many had no room."""


def is_limited(document: Document) -> bool:
    """Whether a task is under limits."""
    return fields.LIMITS in document


def further(look_at: int, wanted: int, claim: Claim) -> int:
    """How many tasks the next claim looks at: more and more of them, as long as a limit has no room for those found."""
    if claim.parked < max(1, len(claim.unread)):
        return 0
    return min(MOST_LOOKED_AT, FURTHER * max(look_at, wanted))


def divide(context: Context, found: Sequence[Document], how: Claiming) -> Op[Shares]:
    """Claim those of these tasks that are under limits with room, and park those without."""
    yield from read_if_old(context)
    grants, full = yield from _judge(context, list(filter(is_limited, found)), how.most)
    slots_of = {document[fields.KEY]: own for document, own in grants}
    fresh = [one for one in found if not is_limited(one) or one[fields.KEY] in slots_of][: how.most]
    made = [_grant(context, one, slots_of[one[fields.KEY]], how) for one in fresh if is_limited(one)]
    taken, written = (yield from _write(context, made, how)) if made else ({}, NOTHING)
    if full:  # now: the look that follows would find the slots free that were given out here
        yield from parking.park(context, full)
    plain = [one for one in fresh if not is_limited(one)]
    return Shares(fresh, plain, taken, list(written.skipped), written.doubtful, sum(map(len, full.values())))


def slots_for(context: Context, document: Document) -> Op[tuple[list[str] | None, str]]:
    """The slots for one task; None, and the group that has no room for it."""
    yield from read_if_old(context)
    grants, full = yield from _judge(context, [document], 1)
    return (grants[0][1], "") if grants else (None, next(iter(full)))


class _Grant(NamedTuple):
    """A task that may run, and the update of its claim."""

    document: Document
    update: Update


def _grant(context: Context, document: Document, own: list[str], how: Claiming) -> _Grant:
    lease = how.wanted.lease or candidates.lease_of(context, document)
    update = updates.claimed(how.now, how.token, how.wanted.claimant, lease)
    return _Grant(document, slots.taken(update, document, own))


def _judge(
    context: Context, found: Sequence[Document], most: int
) -> Op[tuple[list[tuple[Document, list[str]]], dict[str, list[Document]]]]:
    """The tasks that get slots, with these; and those that get none, by the group that is full."""
    groups = [room.groups_of(context, document) for document in found]
    wanted = Counter(group for own in groups for group in own)
    free = (yield from room.free(context, wanted)) if wanted else {}
    lines = [document[fields.LINE] for document in found if fields.LINE in document]
    heads = (yield from room.heads(context, dict.fromkeys(lines))) if lines else {}
    grants: list[tuple[Document, list[str]]] = []
    full: dict[str, list[Document]] = defaultdict(list)
    for document, own in zip(found, groups, strict=True):
        if len(grants) >= most:
            break
        line = document.get(fields.LINE)
        head = heads.get(line or "")
        if line in own and head is not None and head[fields.KEY] != document[fields.KEY]:
            full[line].append(document)
        elif lacking := next((group for group in own if not free[group]), None):
            full[lacking].append(document)
        else:
            grants.append((document, [free[group].pop() for group in own]))
    return grants, full


def _write(context: Context, grants: Sequence[_Grant], how: Claiming) -> Op[tuple[dict[str, Document], PartialWrite]]:
    """Write these claims, each by a statement of its own; those that are held afterwards, by key."""
    by_key = {one.document[fields.KEY]: one for one in grants}

    def write(keys: Sequence[str], limit: timedelta) -> Op[int]:
        return _bulk(context, [by_key[key] for key in keys], limit)

    groups: dict[int, list[str]] = defaultdict(list)
    for one in grants:
        groups[one.document[fields.VERSION]].append(one.document[fields.KEY])
    written = NOTHING
    for version, keys in groups.items():
        own = partial(filters.claimable, version=version)
        written = written.joined(
            (yield from write_skipping_locked(context.tasks, keys, own, write, time_limit=how.time_limit))
        )
    if written.doubtful:
        yield from catch_up(context, how.token)
    if written.updated < len(grants) or written.doubtful:
        found = yield from holders(context, list(by_key), majority=written.doubtful)
        by_key = {row[fields.KEY]: by_key[row[fields.KEY]] for row in held_under(how.token, found)}
    taken = {key: updates.applied(one.document, {**one.update}) for key, one in by_key.items()}
    return taken, written


def _bulk(context: Context, grants: Sequence[_Grant], limit: timedelta) -> Op[int]:
    """One bulk write; a slot that another has taken meanwhile leaves its task as it is."""
    changes = [
        Changing(filters.claimable([one.document[fields.KEY]], one.document[fields.VERSION]), one.update)
        for one in grants
    ]
    try:
        done: int = yield Bulk(context.tasks, changes, ordered=False, timeout=limit)
    except PartlyWritten as partly:
        for place, error in partly.errors.items():
            if isinstance(error, KeyTaken):
                continue
            if getattr(error, "code", None) not in UNFIT:
                raise error from partly
            yield from set_aside(context, grants[place].document, fields.VERSION)
        return partly.matched
    return done
