"""Starts of rate limits: taken, given back, and looked at. A group is one document, changed by one guarded update."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from mongoq.limiting.limit import limit_of
from mongoq.storage.commands import Document, InsertOne, Op, find, find_one, update_many
from mongoq.storage.context import Context
from mongoq.storage.control import Pause
from mongoq.storage.documents import fields
from mongoq.storage.documents.encoding import encoded
from mongoq.storage.documents.limiting import rates
from mongoq.storage.documents.limiting.rates import Start
from mongoq.storage.refusals import KeyTaken

TRIES: Final = 20
"""So often another may be faster, until a claim takes no start at all."""
PAUSE: Final = 0.004
LONGEST: Final = 10.0**8
LARGEST: Final = 2**20


def rated(context: Context, groups: Iterable[str]) -> list[str]:
    """Those of these groups whose limit has a rate."""
    known = context.gate.limits
    return [group for group in groups if limit_of(group) in known and known[limit_of(group)].rate is not None]


def take(
    context: Context, group: str, weights: Sequence[int], ahead: float = 0.0, lead: float = 0.0
) -> Op[list[Start]]:
    """Take the starts of a group that come within so many seconds, for these weights in their order.

    None of them comes before `lead`: so long it takes until its task can start.
    """
    limit = context.gate.limits[limit_of(group)]
    for number in range(TRIES):
        if number:
            yield Pause(random.uniform(0, PAUSE * number))  # noqa: S311 -- no secret
        # The most that the server's time may be: an instant that has passed would be one too many.
        now = rates.nanoseconds(context.clock.latest()) + int(lead * 10**9)
        document = yield from find_one(context.limits, rates.named(group), hint="_id_")
        told = rates.tell(limit, document, weights, now, now + int(ahead * 10**9))
        if not told.starts or (yield from _replace(context, group, document, told.document)):
            return told.starts
    return []


def consume(context: Context, group: str, weight: int, wait: float) -> Op[bool]:
    """Take a start of this weight that comes within so many seconds, and wait for its instant; whether there was one.

    Who waits for ever takes the next one, whenever that comes.
    """
    starts = yield from take(context, group, [weight], min(wait, LONGEST))
    if not starts:
        return False
    left = (starts[0].at - rates.nanoseconds(context.clock.earliest())) / 10**9
    while left > 0:
        yield Pause(left)
        left = (starts[0].at - rates.nanoseconds(context.clock.earliest())) / 10**9
    return True


def give_back(context: Context, starts: Mapping[str, Sequence[Start]]) -> Op[None]:
    """Give back starts that no handler has used. Those that have passed stay spent."""
    for group, own in starts.items():
        for number in range(TRIES):
            if number:
                yield Pause(random.uniform(0, PAUSE * number))  # noqa: S311 -- no secret
            now = rates.nanoseconds(context.clock.latest())
            if not any(one.at > now for one in own):
                break
            document = yield from find_one(context.limits, rates.named(group), hint="_id_")
            if (yield from _replace(context, group, document, rates.given_back(document, own, now))):
                break


class Look(NamedTuple):
    """What a group has to give."""

    starts: int
    """How many starts of weight 1 come within the time that was asked for."""
    wait: timedelta
    """For how long there is none."""


def looks(context: Context, groups: Collection[str], most: int = 0, ahead: float = 0.0) -> Op[dict[str, Look]]:
    """Look at these groups: how many starts, up to `most`, they have within so many seconds."""
    if not groups:
        return {}
    found = yield from find(context.limits, {fields.KEY: {"$in": list(groups)}}, hint="_id_")
    documents = {document[fields.KEY]: document for document in found}
    now = rates.nanoseconds(context.clock.latest())
    until = now + int(ahead * 10**9)
    told: dict[str, Look] = {}
    for group in groups:
        limit, document = context.gate.limits[limit_of(group)], documents.get(group)
        wait = timedelta(microseconds=(rates.earliest(limit, document, 1, now) - now) // 1000)
        told[group] = Look(len(rates.tell(limit, document, [1] * most, now, until).starts), wait)
    return told


def next_starts(context: Context, name: str) -> Op[dict[str, datetime]]:
    """When the next start is free in each group of a limit that had one of late."""
    limit = context.gate.limits[name]
    if limit.rate is None:
        return {}
    found = yield from find(context.limits, rates.of_limit(name), hint="_id_")
    now = rates.nanoseconds(context.clock.latest())
    own = [document for document in found if limit_of(document[fields.KEY]) == name]
    return {one[fields.KEY]: rates.instant(rates.earliest(limit, one, 1, now)) for one in own}


def given(ended: Iterable[Mapping[str, Any]]) -> dict[str, list[Start]]:
    """Starts as claims have stored them, by group."""
    groups: dict[str, list[Start]] = defaultdict(list)
    for one in ended:
        groups[one["group"]].append(Start(one["at"], one["weight"]))
    return groups


def _replace(context: Context, group: str, before: Document | None, after: Document) -> Op[bool]:
    """Write the document of a group in place of the one that was read; whether nobody was faster."""
    if before is not None:
        return bool((yield from update_many(context.limits, rates.as_read(group, before), {"$set": after})))
    try:
        yield InsertOne(context.limits, encoded({fields.KEY: group, **after}, LARGEST))
    except KeyTaken:
        return False
    return True
