"""Write the claims of tasks under limits: many in one command, each with slots and starts of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, NamedTuple

from mongoq.core.requests import ClaimRequest
from mongoq.storage.commands import Bulk, Changing, Document, Op, Update
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters, updates
from mongoq.storage.documents.limiting import slots
from mongoq.storage.documents.limiting.rates import Start
from mongoq.storage.operations.claiming import candidates
from mongoq.storage.operations.recovery.lost_replies import catch_up, held_under, holders
from mongoq.storage.operations.recovery.malformed import UNFIT, set_aside, update_well_formed
from mongoq.storage.operations.recovery.skip_locked import NOTHING, PartialWrite, write_skipping_locked
from mongoq.storage.refusals import KeyTaken, PartlyWritten

MANY: Final = 32
TOGETHER: Final = 50
"""Claims of one statement, where there are many. A statement for each took two to three times as long."""


class Claiming(NamedTuple):
    """How a claim is made."""

    wanted: ClaimRequest
    token: str
    now: datetime
    time_limit: timedelta
    most: int
    """How many tasks to claim."""
    parked: bool = False
    """Whether they are parked, and not ready."""


class Grant(NamedTuple):
    """What a task has got of its limits."""

    slots: Sequence[str] = ()
    starts: Mapping[str, Start] = {}
    """By group: when it may start."""
    shares: bool = False
    """Whether it runs in the slot of another task of the same claim, before that."""


def write(
    context: Context, made: Mapping[str, Document], grants: Mapping[str, Grant], how: Claiming
) -> Op[tuple[dict[str, Document], PartialWrite]]:
    """Write these claims, each by a statement of its own; those that are held afterwards, by key."""
    shared = _update(context, None, Grant(shares=True), how)
    written_as = {
        key: shared if grants[key].shares else _update(context, document, grants[key], how)
        for key, document in made.items()
    }

    def write_some(keys: Sequence[str], limit: timedelta) -> Op[int]:
        return _bulk(context, [(made[key], written_as[key]) for key in keys], shared, limit, parked=how.parked)

    groups: dict[int, list[str]] = defaultdict(list)
    for key, document in made.items():
        groups[document[fields.VERSION]].append(key)
    written = NOTHING
    for version, keys in groups.items():
        own = partial(filters.claimable, version=version, parked=how.parked)
        written = written.joined(
            (yield from write_skipping_locked(context.tasks, keys, own, write_some, time_limit=how.time_limit))
        )
    held = list(made)
    if written.doubtful:
        yield from catch_up(context, how.token)
    if written.updated < len(made) or written.doubtful:
        found = yield from holders(context, held, majority=written.doubtful)
        held = [row[fields.KEY] for row in held_under(how.token, found)]
    return {key: _claimed(made[key], written_as[key], shared) for key in held}, written


def _claimed(document: Document, update: Update, shared: Update) -> Document:
    """The document as it is after its claim; in place where many are claimed alike, which takes a third of the time."""
    if update is not shared:
        return updates.applied(document, update)
    document.pop(fields.WAITS_FOR, None)
    document.update(update["$set"])
    for name, growth in update["$inc"].items():
        document[name] = document.get(name, 0) + growth
    return document


def _bulk(
    context: Context, claims: Sequence[tuple[Document, Update]], shared: Update, limit: timedelta, *, parked: bool
) -> Op[int]:
    """One bulk write; a slot that another has taken meanwhile leaves its task as it is.

    All have one version. One statement writes all that share the slots of others. Of many others one statement writes
    several, each with a hold of its own: a slot that is taken then leaves those behind it in the statement as they are,
    too, which is rare in a group with many slots.
    """
    alike = [claim for claim in claims if claim[1] is shared]
    own = [claim for claim in claims if claim[1] is not shared]
    size = 1 if len(own) < MANY else TOGETHER
    parts = [own[start : start + size] for start in range(0, len(own), size)] + ([alike] if alike else [])
    changes = [_statement(part, shared, parked=parked) for part in parts]
    try:
        done: int = yield Bulk(context.tasks, changes, ordered=False, timeout=limit)
    except PartlyWritten as partly:
        for place, error in partly.errors.items():
            if isinstance(error, KeyTaken):
                continue
            if getattr(error, "code", None) not in UNFIT:
                raise error from partly
            yield from _without_unfit(context, parts[place], shared, limit, parked=parked)
        return partly.matched
    return done


def _statement(claims: Sequence[tuple[Document, Update]], shared: Update, *, parked: bool) -> Changing:
    first, update = claims[0]
    where = filters.claimable([document[fields.KEY] for document, _ in claims], first[fields.VERSION], parked=parked)
    if update is shared:
        return Changing(where, update, many=True)
    if len(claims) == 1:
        return Changing(where, update)
    holds = {document[fields.KEY]: own["$set"][fields.HOLD] for document, own in claims}
    return Changing(where, {**update, "$unset": {fields.WAITS_FOR: ""}}, many=True, values=(fields.HOLD, holds))


def _without_unfit(
    context: Context, part: Sequence[tuple[Document, Update]], shared: Update, limit: timedelta, *, parked: bool
) -> Op[None]:
    """Set aside what cannot take a claim; what was written with it is claimed without it, if all is written alike."""
    first, update = part[0]
    if update is shared:
        guard = partial(filters.claimable, version=first[fields.VERSION], parked=parked)
        yield from update_well_formed(context, [document[fields.KEY] for document, _ in part], guard, update, limit)
    elif len(part) == 1:
        yield from set_aside(context, first, fields.VERSION)


def _update(context: Context, document: Document | None, grant: Grant, how: Claiming) -> Update:
    lease = how.wanted.lease or (candidates.lease_of(context, document or {}))
    update = updates.claimed(how.now, how.token, how.wanted.claimant, lease)
    if grant.shares:
        return slots.shared(update)
    return slots.taken(update, document or {}, grant.slots, grant.starts)
