"""Claim tasks that are under limits: those with room in each of their groups. The others are parked."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from mongoq.core.requests import ClaimRequest
from mongoq.limiting.limit import limit_of
from mongoq.storage.commands import Document, Op
from mongoq.storage.context import Context
from mongoq.storage.documents import fields
from mongoq.storage.documents.limiting.rates import Start
from mongoq.storage.operations.limits import parking, rates, room
from mongoq.storage.operations.limits.allotting import Allotted, Full, Terms, allot, has_plenty
from mongoq.storage.operations.limits.writing import Claiming, Grant, write
from mongoq.storage.operations.namespace.orders import read_if_old
from mongoq.storage.operations.recovery.skip_locked import NOTHING, PartialWrite

if TYPE_CHECKING:
    from mongoq.storage.operations.claiming.claim import Claim

FURTHER: Final = 4
MOST_LOOKED_AT: Final = 1_000
"""Tasks that one claim reads to find some that no limit keeps from running."""


class Shares(NamedTuple):
    """What is left of the tasks of a claim, when those under limits are dealt with."""

    fresh: list[Document]
    """Those that are claimed: up to the number that is wanted, the most urgent first."""
    plain: list[Document]
    """Those of them that are under no limits, and are yet to be claimed."""
    taken: Mapping[str, Document] = {}
    """The others that are held now, by key."""
    blocked: Sequence[str] = ()
    doubtful: bool = False
    parked: int = 0
    """How many had no room."""
    left: int = 0
    """How many were left for later, because this process has slots enough."""


def is_limited(document: Document) -> bool:
    """Whether a task is under limits."""
    return fields.LIMITS in document


def further(look_at: int, wanted: int, claim: Claim) -> int:
    """How many tasks the next claim looks at: more and more of them, as long as a limit has no room for those found."""
    if claim.left or claim.parked < max(1, len(claim.unread)):
        return 0
    return min(MOST_LOOKED_AT, FURTHER * max(look_at, wanted))


def divide(context: Context, found: Sequence[Document], how: Claiming) -> Op[Shares]:
    """Claim those of these tasks that are under limits with room, and park those without."""
    yield from read_if_old(context)
    terms = Terms(how.most, how.wanted.in_turn, how.wanted.at_once, how.wanted.handlers)
    limited = [one for one in found if fields.LIMITS in one]
    allotted = yield from _with_slots(context, limited, terms)
    grants, full = allotted.grants, allotted.full
    fresh = [one for one in found if fields.LIMITS not in one or one[fields.KEY] in grants][: how.most]
    if _has_rates(context):
        limited = [one for one in fresh if fields.LIMITS in one]
        grants = yield from _with_starts(context, limited, grants, full, how.wanted)
        fresh = [one for one in fresh if fields.LIMITS not in one or one[fields.KEY] in grants]
    made = {one[fields.KEY]: one for one in fresh if fields.LIMITS in one}
    taken, written = yield from _claim(context, made, grants, how)
    if full:  # now: the look that follows would find the slots free that were given out here
        yield from parking.park(context, full, how.wanted.ahead)
    plain = [one for one in fresh if fields.LIMITS not in one]
    parked = sum(map(len, full.values()))
    return Shares(fresh, plain, taken, list(written.skipped), written.doubtful, parked, allotted.left)


def admit(
    context: Context, found: Sequence[Document], how: Claiming, have: Mapping[str, Sequence[str]]
) -> Op[tuple[dict[str, Document], PartialWrite, Full]]:
    """Claim those of these parked tasks that there is room for, in slots of which some are known to be free.

    The tasks that are held now, by key; what the write reached; and those without room, by the group that has none.
    """
    allotted = yield from _with_slots(context, found, Terms(how.most, how.wanted.in_turn), have)
    grants, full = allotted.grants, allotted.full
    chosen = [one for one in found if one[fields.KEY] in grants]
    grants = yield from _with_starts(context, chosen, grants, full, how.wanted)
    made = {one[fields.KEY]: one for one in chosen if one[fields.KEY] in grants}
    taken, written = yield from _claim(context, made, grants, how)
    return taken, written, full


def grant_for(context: Context, document: Document) -> Op[tuple[Grant | None, str]]:
    """What one task gets of its limits, to start now; None, and the group that has no room for it."""
    yield from read_if_old(context)
    allotted = yield from _with_slots(context, [document], Terms(1))
    grants, full = allotted.grants, allotted.full
    if grants:
        grants = yield from _with_starts(context, [document], grants, full, ClaimRequest((), ""))
    return (grants[document[fields.KEY]], "") if grants else (None, next(iter(full)))


def _with_slots(
    context: Context, found: Sequence[Document], terms: Terms, have: Mapping[str, Sequence[str]] | None = None
) -> Op[Allotted]:
    """Allot slots to these tasks, of those that are known to be free first."""
    groups = room.groups_of_each(context, found)
    free = {group: list(own) for group, own in (have or {}).items()}
    wanted = Counter(group for own in groups for group in own if group not in free)
    if wanted and terms.in_turn > 1 and terms.at_once:
        known = context.gate.limits
        terms = replace(terms, plenty=[one for one in wanted if has_plenty(known[limit_of(one)], terms.handlers)])
        most = max(terms.at_once, terms.handlers)
        wanted = Counter({group: min(count, most) for group, count in wanted.items()})
    free |= (yield from room.free(context, wanted)) if wanted else {}
    lines = [document[fields.LINE] for document in found if fields.LINE in document]
    heads = (yield from room.heads(context, dict.fromkeys(lines))) if lines else {}
    if _has_rates(context) and any(room.starts_of(context, document) for document in found):
        terms = replace(terms, in_turn=1)
    return allot(list(zip(found, groups, strict=True)), free, heads, terms)


def _has_rates(context: Context) -> bool:
    return any(limit.rate is not None for limit in context.gate.limits.values())


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


def _claim(
    context: Context, made: Mapping[str, Document], grants: Mapping[str, Grant], how: Claiming
) -> Op[tuple[dict[str, Document], PartialWrite]]:
    """Write these claims, and give back the starts of those that others were faster with; what is held now, by key."""
    if not made:
        return {}, NOTHING
    taken, written = yield from write(context, made, grants, how)
    if not written.doubtful and len(taken) < len(made):
        yield from rates.give_back(context, _starts([grants[key] for key in made if key not in taken]))
    return taken, written
