"""Park tasks whose limit is full, and let parked ones go where there is room.

Who parks looks at the room once more afterwards: a slot that was freed between its first look and its write is seen
then, and one that is freed later finds the tasks parked. Both are writes and reads of one server, so one of the two
comes second.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from mongoq.core.errors import StorageError, Unsupported
from mongoq.limiting.limit import limit_of
from mongoq.storage.commands import Aggregate, Bulk, Changing, Document, Op, find, find_one, update_many
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters, flow, indexes
from mongoq.storage.documents.limiting import slots
from mongoq.storage.operations.limits import rates, room
from mongoq.storage.operations.recovery.malformed import update_well_formed
from mongoq.storage.operations.recovery.skip_locked import WRITE_LIMIT

MOST: Final = 1_000
"""Tasks that are let go at a time."""
AHEAD: Final = 0.25
"""Seconds for which a worker takes starts of a rate limit ahead: each task then begins at its own instant. What a crash
wastes is as much at the most."""
UNITED: Final = 50
"""Groups whose first tasks one command reads; a find for each took most of the time of many small groups."""
_READ: Final = [fields.WAITS_FOR, fields.RUN_AT, fields.CREATED_AT, fields.PRIORITY]


def park(context: Context, full: Mapping[str, Sequence[Document]], ahead: float = 0.0) -> Op[None]:
    """Park these tasks, each under the group that has no room for it, and look at the room once more."""
    now = context.clock.now()
    alike: dict[tuple[str, int], list[str]] = defaultdict(list)
    for group, documents in full.items():
        for document in documents:
            alike[group, document[fields.VERSION]].append(document[fields.KEY])
    changes = [
        Changing(filters.claimable(keys, version), slots.parked(group, now), many=True)
        for (group, version), keys in alike.items()
    ]
    try:  # all groups by one command
        yield Bulk(context.tasks, changes, ordered=False, timeout=WRITE_LIMIT)
    except StorageError:  # a transaction holds some, or some take no write: these are left alone
        for (group, version), keys in alike.items():
            guard = partial(filters.claimable, version=version)
            yield from update_well_formed(context, keys, guard, slots.parked(group, now))
    yield from look(context, full, ahead)


def look(context: Context, groups: Collection[str], ahead: float = 0.0) -> Op[int]:
    """Let tasks go that wait for these groups, as many as there is room for; how many.

    Of a rate limit so many as may start within the seconds that lie `ahead`.
    """
    known = context.gate.limits
    if context.gate.pauses:
        held = held_groups(context)
        groups = [group for group in groups if group not in held]
    limits = {group: known[limit_of(group)] for group in groups if limit_of(group) in known}
    counted = {group: limit.concurrency for group, limit in limits.items() if limit.concurrency and not limit.is_fifo}
    most = dict.fromkeys(limits, MOST)
    if counted:
        free = yield from room.free(context, {group: min(MOST, number) for group, number in counted.items()})
        most |= {group: len(own) for group, own in free.items()}
    rated = [group for group, limit in limits.items() if limit.rate is not None and most[group]]
    starts = yield from rates.looks(context, rated, MOST, ahead)
    most |= {group: min(most[group], look.starts) for group, look in starts.items()}
    lines = [group for group, limit in limits.items() if limit.is_fifo and most[group]]
    done = yield from _next_in_line(context, lines)
    wanted = {group: count for group, count in most.items() if count and not limits[group].is_fifo}
    done += yield from release(context, wanted)
    lifted = [group for group in groups if group not in limits]
    return done + (yield from release(context, dict.fromkeys(lifted, MOST), coming=False))


def follow(context: Context, freed: Iterable[str], ahead: float = 0.0) -> Op[int]:
    """Let as many tasks go as slots were freed just now, one for each time that a group is named; how many."""
    counts = Counter(freed)
    known = context.gate.limits
    simple = {
        group: count
        for group, count in counts.items()
        if (limit := known.get(limit_of(group))) is None or not (limit.is_fifo or limit.rate)
    }
    done = yield from release(context, simple, coming=False)
    others = [group for group in counts if group not in simple]
    return done + ((yield from look(context, others, ahead)) if others else 0)


def release(context: Context, wanted: Mapping[str, int], *, coming: bool = True) -> Op[int]:
    """Make up to so many of the most urgent parked tasks of each group ready; how many.

    `coming` counts those that were made ready before and that nobody has claimed yet.
    """
    if not wanted:
        return 0
    found = yield from first(context, wanted)
    ahead: dict[str, int] = {}
    if found and coming:
        rows: list[Document] = yield Aggregate(context.tasks, slots.coming(found.keys()), hint=indexes.WAITS)
        ahead = {row["_id"]: row["count"] for row in rows}
    chosen = [one for group, own in found.items() for one in own[: max(0, wanted[group] - ahead.get(group, 0))]]
    return (yield from free(context, chosen, list(wanted)))


def first(context: Context, wanted: Mapping[str, int]) -> Op[dict[str, list[Document]]]:
    """What is needed of the most urgent parked tasks of each group: of up to `UNITED` groups by one command."""
    by_group: dict[str, list[Document]] = defaultdict(list)
    names = list(wanted)
    for start in range(0, len(names), UNITED):
        some = {group: min(MOST, wanted[group]) for group in names[start : start + UNITED]}
        for document in (yield from _united(context, some)):
            by_group[document[fields.WAITS_FOR]].append(document)
    return by_group


def whole(context: Context, wanted: Mapping[str, int]) -> Op[list[Document]]:
    """So many of the most urgent parked tasks of each group, with all that they have: of many groups by one command."""
    found: list[Document] = []
    names = list(wanted)
    for start in range(0, len(names), UNITED):
        some = {group: min(MOST, wanted[group]) for group in names[start : start + UNITED]}
        found += yield from (_whole_united(context, some) if len(some) > 1 else _whole(context, *some.popitem()))
    return found


def _whole_united(context: Context, wanted: Mapping[str, int]) -> Op[list[Document]]:
    pipeline, batch = slots.first_of_each(context.tasks, wanted), sum(wanted.values()) + 1
    found: list[Document] = yield Aggregate(context.tasks, pipeline, hint=indexes.WAITS, batch=batch, naive=True)
    return found


def _whole(context: Context, group: str, most: int) -> Op[list[Document]]:
    order = [(fields.WAITS_FOR, 1), *indexes.URGENCY]
    where, hint = slots.waiting([group]), indexes.WAITS
    return find(context.tasks, where, sort=order, hint=hint, limit=most, naive=True)


def _united(context: Context, wanted: Mapping[str, int]) -> Op[list[Document]]:
    if len(wanted) == 1:
        [(group, most)] = wanted.items()
        return (yield from _parked(context, [group], most))
    if (yield from find_one(context.tasks, slots.waiting(list(wanted)), only=[fields.KEY], hint=indexes.WAITS)) is None:
        return []
    try:
        found: list[Document] = yield Aggregate(context.tasks, slots.first_of_each(context.tasks, wanted, _READ))
    except Unsupported:  # by mongomock, where a command costs nothing
        found = []
        for group, most in wanted.items():
            found += yield from _parked(context, [group], most)
    return found


def _parked(context: Context, groups: list[str], most: int) -> Op[list[Document]]:
    order = [(fields.WAITS_FOR, 1), *indexes.URGENCY]
    return find(context.tasks, slots.waiting(groups), only=_READ, sort=order, hint=indexes.WAITS, limit=most)


def _next_in_line(context: Context, lines: Sequence[str]) -> Op[int]:
    """Let the first of each line go, where it is parked for that."""
    heads = (yield from room.heads(context, lines)) if lines else {}
    parked = [head for group, head in heads.items() if waits_in(head, group)]
    return (yield from free(context, parked, lines))


def waits_in(head: Document, group: str) -> bool:
    """Whether the first of a line is parked for that line."""
    return head.get(fields.WAITS_FOR) == group and head[fields.STATE] == slots.PARKED


def free(context: Context, chosen: Sequence[Document], groups: Sequence[str]) -> Op[int]:
    """Make these tasks ready, or scheduled, that are parked for one of these groups; how many."""
    now, done = context.clock.earliest(), 0
    due = [document[fields.KEY] for document in chosen if flow.is_due(document, now)]
    late = [document[fields.KEY] for document in chosen if not flow.is_due(document, now)]
    for keys in (due, late):
        if keys:
            where: Any = {**filters.by_keys(keys), **slots.waiting(groups)}
            done += yield from update_many(context.tasks, where, slots.freed(now, due=keys is due))
    return done


def held_groups(context: Context) -> frozenset[str]:
    """The groups that stand for names and values of tags which are paused."""
    return frozenset(pause.target.group for pause in context.gate.parking(context.clock.now()))


def groups_after(context: Context, group: str, most: int) -> Op[list[str]]:
    """The first groups behind this one, up to so many, for which tasks wait, or waited; in order."""
    rows: list[Document] = yield Aggregate(context.tasks, slots.groups_after(group, most), hint=indexes.WAITS)
    return sorted(row["_id"] for row in rows)
