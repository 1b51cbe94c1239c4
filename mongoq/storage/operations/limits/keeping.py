"""Make, change, read and delete limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from mongoq.core.errors import ConfigurationError, Fault, InvalidTask
from mongoq.core.validation import Checker
from mongoq.limiting.given import check_known
from mongoq.limiting.limit import Limit, LimitGroup, LimitNotFound, limit_of, value_of
from mongoq.storage.commands import Aggregate, Delete, Document, Op, UpdateMany, find
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, indexes
from mongoq.storage.documents.limiting import definitions, slots
from mongoq.storage.operations import schema
from mongoq.storage.operations.limits import parking, rates, room
from mongoq.storage.operations.namespace import format_version, orders

MOST_GROUPS: Final = 1_000
"""Groups that are told of."""


def put(context: Context, limit: Limit, by: str) -> Op[Limit]:
    """Make a limit, or change its numbers; ConfigurationError where it has other groups or another order already."""
    yield from orders.read(context)
    before = context.gate.limits.get(limit.name)
    if before is not None and (before.by, before.order) != (limit.by, limit.order):
        what = f"by={limit.by!r}, order={limit.order!r}"
        there = f"as it is there (by={before.by!r}, order={before.order!r}); delete_limit({limit.name!r}) removes that"
        raise ConfigurationError([Fault("limit", what, there)])
    yield from schema.ensure(context, limits=True)
    yield from format_version.require(context, format_version.LIMITS)
    highest = max(limit.highest, before.highest if before else 0)
    written = definitions.written(limit, highest) | {"by_whom": by, "at": context.clock.now()}
    yield UpdateMany(context.control, definitions.named(limit.name), {"$set": written}, upsert=True)
    yield from orders.tell(context)
    yield from _look(context, limit.name)
    return context.gate.limits.get(limit.name, limit)


def declare(context: Context, wanted: Iterable[Limit], by: str) -> Op[None]:
    """Make the limits of the code where they are not there, or have other numbers."""
    for limit in wanted:
        if context.gate.limits.get(limit.name) != limit:
            yield from put(context, limit, by)


def one(context: Context, name: str) -> Op[Limit]:
    """The limit of this name; LimitNotFound where there is none."""
    if name not in context.gate.limits:
        yield from orders.read(context)
    if name not in context.gate.limits:
        raise LimitNotFound(f"no limit has the name {name!r}")
    return context.gate.limits[name]


def delete(context: Context, name: str) -> Op[None]:
    """Delete a limit, and let go whoever waits for it; LimitNotFound where there is none of this name."""
    deleted: int = yield Delete(context.control, definitions.named(name))
    if not deleted:
        raise LimitNotFound(f"no limit has the name {name!r}")
    yield from orders.tell(context)
    yield from _look(context, name)


def _look(context: Context, name: str) -> Op[None]:
    """Let tasks go that wait for a limit which has more room now; a sweep goes on where there are many."""
    found = yield from parking.groups_after(context, f"{name}:", MOST_GROUPS)
    yield from parking.look(context, [name, *(group for group in found if limit_of(group) == name)])


def check(context: Context, names: Collection[str], field: str = "limits") -> Op[None]:
    """InvalidTask where one of these limits is not there; it is looked for once more before that."""
    if any(name not in context.gate.limits for name in names):
        yield from orders.read(context)
    checker = Checker(InvalidTask)
    check_known(checker, names, context.gate.limits, field)
    checker.finish()


def groups(context: Context, names: Iterable[str]) -> Op[list[LimitGroup]]:
    """The groups of these limits in which tasks run or wait, the fullest first; up to 1,000 of each kind."""
    wanted = list(names)
    running: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    starts: dict[str, datetime] = {}
    for name in wanted:
        used = yield from find(context.tasks, slots.of_limit(name), only=[fields.SLOTS], hint=indexes.SLOTS)
        own = (slots.split(one)[0] for document in used for one in document[fields.HOLD]["slots"])
        running.update(group for group in own if limit_of(group) == name)
        rows: list[Document] = yield Aggregate(context.tasks, slots.counting(name), hint=indexes.WAITS)
        waiting.update({row["_id"]: row["count"] for row in rows if limit_of(row["_id"]) == name})
        if name in context.gate.limits:
            starts |= yield from rates.next_starts(context, name)
    found = Counter({group: running[group] + waiting[group] for group in running | waiting | dict.fromkeys(starts, 0)})
    chosen = [group for group, _ in found.most_common(MOST_GROUPS)]
    behind = yield from _behind(context, chosen)
    return [
        LimitGroup(
            limit_of(group), value_of(group), running[group], waiting[group], behind.get(group), starts.get(group)
        )
        for group in chosen
    ]


def _behind(context: Context, among: Iterable[str]) -> Op[Mapping[str, str]]:
    """By line: the key of the task that halts it, where that does not run."""
    known = context.gate.limits
    lines = [group for group in among if limit_of(group) in known and known[limit_of(group)].is_fifo]
    heads = yield from room.heads(context, lines)
    halted: dict[str, Any] = {group: head[fields.KEY] for group, head in heads.items() if _halts(head)}
    return halted


def _halts(head: Document) -> bool:
    return head[fields.STATE] in slots.HALTING
