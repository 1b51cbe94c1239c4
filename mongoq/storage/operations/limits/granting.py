"""Claim tasks that are under limits: those with room in each of their groups. The others are parked."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from mongoq.core.requests import ClaimRequest
from mongoq.storage.commands import Bulk, Changing, Document, Op, Update
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters, updates
from mongoq.storage.documents.limiting import slots
from mongoq.storage.documents.limiting.rates import Start
from mongoq.storage.operations import candidates
from mongoq.storage.operations.limits import parking, rates, room
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
MANY: Final = 32
TOGETHER: Final = 50
"""Claims of one statement, where there are many. A statement for each took two to three times as long."""
Full = dict[str, list[Document]]
"""Tasks without room, by the group that has none."""


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


class Grant(NamedTuple):
    """What a task has got of its limits."""

    slots: Sequence[str] = ()
    starts: Mapping[str, Start] = {}
    """By group: when it may start."""


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
    grants, full = yield from _with_slots(context, list(filter(is_limited, found)), how.most)
    fresh = [one for one in found if not is_limited(one) or one[fields.KEY] in grants][: how.most]
    grants = yield from _with_starts(context, list(filter(is_limited, fresh)), grants, full, how.wanted)
    fresh = [one for one in fresh if not is_limited(one) or one[fields.KEY] in grants]
    made = {one[fields.KEY]: one for one in fresh if is_limited(one)}
    taken, written = (yield from _write(context, made, grants, how)) if made else ({}, NOTHING)
    if not written.doubtful and len(taken) < len(made):
        yield from rates.give_back(context, _starts([grants[key] for key in made if key not in taken]))
    if full:  # now: the look that follows would find the slots free that were given out here
        yield from parking.park(context, full, how.wanted.ahead)
    plain = [one for one in fresh if not is_limited(one)]
    return Shares(fresh, plain, taken, list(written.skipped), written.doubtful, sum(map(len, full.values())))


def grant_for(context: Context, document: Document) -> Op[tuple[Grant | None, str]]:
    """What one task gets of its limits, to start now; None, and the group that has no room for it."""
    yield from read_if_old(context)
    grants, full = yield from _with_slots(context, [document], 1)
    if grants:
        grants = yield from _with_starts(context, [document], grants, full, ClaimRequest((), ""))
    return (grants[document[fields.KEY]], "") if grants else (None, next(iter(full)))


def _with_slots(context: Context, found: Sequence[Document], most: int) -> Op[tuple[dict[str, Grant], Full]]:
    """Slots for up to `most` of these tasks, by key; and those that get none."""
    groups = [room.groups_of(context, document) for document in found]
    wanted = Counter(group for own in groups for group in own)
    free = (yield from room.free(context, wanted)) if wanted else {}
    lines = [document[fields.LINE] for document in found if fields.LINE in document]
    heads = (yield from room.heads(context, dict.fromkeys(lines))) if lines else {}
    grants: dict[str, Grant] = {}
    full: Full = defaultdict(list)
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
            grants[document[fields.KEY]] = Grant([free[group].pop() for group in own])
    return grants, full


def _with_starts(
    context: Context, found: Sequence[Document], grants: dict[str, Grant], full: Full, wanted: ClaimRequest
) -> Op[dict[str, Grant]]:
    """The grants of these tasks with the starts that they need; those for which there is none are added to `full`."""
    needs = {one[fields.KEY]: needed for one in found if (needed := room.starts_of(context, one))}
    if not needs:
        return grants
    weights: dict[str, list[int]] = defaultdict(list)
    for needed in needs.values():
        for group, weight in needed.items():
            weights[group].append(weight)
    told: dict[str, deque[Start]] = {}
    for group, own in weights.items():
        told[group] = deque((yield from rates.take(context, group, own, wanted.ahead, wanted.lead)))
    left: list[Grant] = []
    after: dict[str, Grant] = dict(grants)
    for document in found:
        key = document[fields.KEY]
        needed = needs.get(key, {})
        lacking = next((group for group in needed if not told[group]), None)
        starts = {group: told[group].popleft() for group in needed if told[group]}
        if lacking is None:
            after[key] = grants[key]._replace(starts=starts)
        else:
            full[lacking].append(document)
            left.append(Grant(starts=starts))
            del after[key]
    yield from rates.give_back(context, _starts(left))
    return after


def _starts(grants: Sequence[Grant]) -> dict[str, list[Start]]:
    """The starts of these grants, by group."""
    by_group: dict[str, list[Start]] = defaultdict(list)
    for one in grants:
        for group, start in one.starts.items():
            by_group[group].append(start)
    return by_group


def _update(context: Context, document: Document, grant: Grant, how: Claiming) -> Update:
    lease = how.wanted.lease or candidates.lease_of(context, document)
    update = updates.claimed(how.now, how.token, how.wanted.claimant, lease)
    return slots.taken(update, document, grant.slots, grant.starts)


def _write(
    context: Context, made: Mapping[str, Document], grants: Mapping[str, Grant], how: Claiming
) -> Op[tuple[dict[str, Document], PartialWrite]]:
    """Write these claims, each by a statement of its own; those that are held afterwards, by key."""
    written_as = {key: _update(context, document, grants[key], how) for key, document in made.items()}

    def write(keys: Sequence[str], limit: timedelta) -> Op[int]:
        return _bulk(context, [(made[key], written_as[key]) for key in keys], limit)

    groups: dict[int, list[str]] = defaultdict(list)
    for key, document in made.items():
        groups[document[fields.VERSION]].append(key)
    written = NOTHING
    for version, keys in groups.items():
        own = partial(filters.claimable, version=version)
        written = written.joined(
            (yield from write_skipping_locked(context.tasks, keys, own, write, time_limit=how.time_limit))
        )
    held = list(made)
    if written.doubtful:
        yield from catch_up(context, how.token)
    if written.updated < len(made) or written.doubtful:
        found = yield from holders(context, held, majority=written.doubtful)
        held = [row[fields.KEY] for row in held_under(how.token, found)]
    return {key: updates.applied(made[key], written_as[key]) for key in held}, written


def _bulk(context: Context, claims: Sequence[tuple[Document, Update]], limit: timedelta) -> Op[int]:
    """One bulk write; a slot that another has taken meanwhile leaves its task as it is.

    All have one version. Of many tasks one statement writes several, each with a hold of its own: a slot that is taken
    then leaves those behind it in the statement as they are, too, which is rare in a group with many slots.
    """
    size = 1 if len(claims) < MANY else TOGETHER
    changes = [_statement(claims[start : start + size]) for start in range(0, len(claims), size)]
    try:
        done: int = yield Bulk(context.tasks, changes, ordered=False, timeout=limit)
    except PartlyWritten as partly:
        for place, error in partly.errors.items():
            if isinstance(error, KeyTaken):
                continue
            if getattr(error, "code", None) not in UNFIT:
                raise error from partly
            if size == 1:
                yield from set_aside(context, claims[place][0], fields.VERSION)
        return partly.matched
    return done


def _statement(claims: Sequence[tuple[Document, Update]]) -> Changing:
    first, update = claims[0]
    where = filters.claimable([document[fields.KEY] for document, _ in claims], first[fields.VERSION])
    if len(claims) == 1:
        return Changing(where, update)
    holds = {document[fields.KEY]: own["$set"][fields.HOLD] for document, own in claims}
    return Changing(where, {**update, "$unset": {fields.WAITS_FOR: ""}}, many=True, values=(fields.HOLD, holds))
