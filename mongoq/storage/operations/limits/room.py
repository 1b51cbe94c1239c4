"""How much room there is in groups of limits, and which slots are free."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence

from mongoq.limiting.limit import Limit, limit_of
from mongoq.storage.commands import Document, Op, find, find_one
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, indexes
from mongoq.storage.documents.limiting import slots

FREE = Mapping[str, list[str]]
"""The free slots of groups, in an order of chance: two processes that take some at once rarely want the same."""
TOGETHER = 1_000
"""Slots of one look."""


def limits_of(context: Context, document: Document) -> list[Limit]:
    """The limits that a task is under and that are there; one that was deleted holds nobody."""
    known, named = context.gate.limits, document.get(fields.LIMITS)
    return [known[name] for name in named if name in known] if isinstance(named, dict) else []


def groups_of_each(context: Context, documents: Iterable[Document]) -> list[list[str]]:
    """The groups in which each of these tasks needs a slot to run. Many name the same limits: those are read once."""
    known = context.gate.limits
    found: list[list[str]] = []
    last: object = None
    limits: list[Limit] = []
    alike: list[str] | None = None
    for document in documents:
        named = document.get(fields.LIMITS)
        if named != last or last is None:
            own = [known[name] for name in named if name in known] if isinstance(named, dict) else []
            last, limits = named, [limit for limit in own if limit.concurrency is not None]
            alike = [limit.name for limit in limits] if all(limit.by is None for limit in limits) else None
        found.append(alike if alike is not None else _groups(limits, document))
    return found


def _groups(limits: Iterable[Limit], document: Document) -> list[str]:
    tags = document.get(fields.TAGS) or {}
    return [limit.group(tags) for limit in limits]


def starts_of(context: Context, document: Document) -> dict[str, int]:
    """The groups in which a task needs a start, each with its weight."""
    tags, weights = document.get(fields.TAGS) or {}, document[fields.LIMITS]
    rated = [limit for limit in limits_of(context, document) if limit.rate is not None]
    return {limit.group(tags): max(1, int(weights[limit.name])) for limit in rated}


def free(context: Context, wanted: Mapping[str, int]) -> Op[dict[str, list[str]]]:
    """Find free slots in these groups, so many as are wanted of each or as there are."""
    known = context.gate.limits
    limits = {group: known[limit_of(group)] for group in wanted}
    looked = {group: slots.numbers(limits[group], wanted[group]) for group in wanted}
    found = yield from _free(context, limits, looked)
    short = {
        group: range(limits[group].concurrency or 0)
        for group, numbers in looked.items()
        if len(found[group]) < wanted[group] and len(numbers) < (limits[group].concurrency or 0)
    }
    if short:
        found |= yield from _free(context, limits, short)
    return found


def _free(
    context: Context, limits: Mapping[str, Limit], looked: Mapping[str, Sequence[int]]
) -> Op[dict[str, list[str]]]:
    lowered = [group for group in looked if limits[group].highest > (limits[group].concurrency or 0)]
    names = {
        group: [slots.slot(group, number) for number in numbers]
        for group, numbers in looked.items()
        if group not in lowered
    }
    used = set((yield from _used(context, [one for own in names.values() for one in own], lowered)))
    for group in lowered:
        most = _open(limits[group].concurrency or 0, [number for own, number in map(slots.split, used) if own == group])
        names[group] = [slots.slot(group, number) for number in range(most)]
    rest = {group: [one for one in own if one not in used] for group, own in names.items()}
    for own in rest.values():
        random.shuffle(own)
    return rest


def _open(most: int, used: Sequence[int]) -> int:
    """Up to which number slots may be given out after a lowering: so that those in use from there on count as well."""
    for number in range(most, 0, -1):
        if number + sum(one >= number for one in used) <= most:
            return number
    return 0


def _used(context: Context, named: Sequence[str], whole: Sequence[str]) -> Op[list[str]]:
    """Which of these slots are in use, and all that are of the groups in `whole`."""
    wanted = [slots.in_use(named[start : start + TOGETHER]) for start in range(0, len(named), TOGETHER)]
    wanted += [slots.in_group(group) for group in whole]
    used: list[str] = []
    for where in wanted:
        found = yield from find(context.tasks, where, only=[fields.SLOTS], hint=indexes.SLOTS)
        used += [one for document in found for one in document[fields.HOLD]["slots"]]
    return used


def heads(context: Context, groups: Iterable[str]) -> Op[dict[str, Document]]:
    """The first unfinished task of each of these lines."""
    found: dict[str, Document] = {}
    for group in groups:
        only = [fields.STATE, fields.RUN_AT, fields.WAITS_FOR]
        first = yield from find_one(
            context.tasks, slots.line(group), only=only, sort=slots.LINE_ORDER, hint=indexes.LINE
        )
        if first is not None:
            found[group] = first
    return found
