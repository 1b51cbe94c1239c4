"""Look at the parents of tasks that have just been enqueued: the second look of whoever parks a task.

1. The children are inserted parked, with the mark `unchecked`.
2. Their live parents are told that they are awaited, in one update: who ends one of them from now on looks for
   children. Where all were live, that was the look.
3. The others have ended, or are not there: their children are released, or cancelled, as if they had ended now.
4. The mark is taken away. Who finds it after a while, as after a crash, does steps 2 to 4 again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

from mongoq.core.errors import InvalidTask
from mongoq.core.lifecycle import LIVE
from mongoq.core.validation import Checker
from mongoq.flow.given import cycle_among, described
from mongoq.storage.commands import Document, Op, find, find_one, update_many
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters, flow, indexes
from mongoq.storage.operations.flow.release import Parent, parent_from, release

TOGETHER: Final = 1_000
MOST_TRIES: Final = 10
FORGOTTEN: Final = timedelta(seconds=5)
"""After so long a mark is taken for that of a process that is gone."""
_LIVE: Final = frozenset(state.value for state in LIVE)


def check(context: Context, children: Sequence[Document], *, within: bool = False) -> Op[set[str]]:
    """Look at the parents of these children, just inserted; the batches whose members that has cancelled."""
    keys = [child[fields.KEY] for child in children]
    parents = list(dict.fromkeys(key for child in children for key in child[fields.AFTER]))
    touched: set[str] = set()
    for start in range(0, len(parents), TOGETHER):
        touched |= yield from _announce(context, parents[start : start + TOGETHER], within=within)
    for start in range(0, len(keys), TOGETHER):
        where = {**filters.by_keys(keys[start : start + TOGETHER]), fields.UNCHECKED: {"$type": "date"}}
        yield from update_many(context.tasks, where, {"$unset": {fields.UNCHECKED: ""}})
    return touched


def check_forgotten(context: Context) -> Op[tuple[int, set[str]]]:
    """Look at the parents of children whose producer did not come to it; how many, and the batches touched."""
    where = {fields.UNCHECKED: {"$lte": context.clock.earliest() - FORGOTTEN, "$type": "date"}}
    only = [fields.KEY, fields.AFTER]
    found = yield from find(context.tasks, where, only=only, hint=indexes.UNCHECKED, limit=TOGETHER)
    readable = [one for one in found if isinstance(one.get(fields.AFTER), list)]
    return len(readable), ((yield from check(context, readable)) if readable else set())


def refuse_cycles(context: Context, children: Sequence[Document]) -> Op[None]:
    """InvalidTask where one of these tasks would wait for itself, by way of others.

    A task with a fresh key has no children yet, so only those of one call, and keys that others wait for, are looked
    at.
    """
    among = {child[fields.KEY]: tuple(child[fields.PARENTS]) for child in children}
    if len(among) > 1:
        _refuse(cycle_among(among))
    for key, parents in among.items():
        waiting = {fields.PARENTS: key, fields.STATE: {"$in": [state.value for state in LIVE]}}
        if (yield from find_one(context.tasks, waiting, only=[fields.KEY], hint=indexes.PARENTS)) is not None:
            yield from _climb(context, key, parents)


def _climb(context: Context, key: str, parents: Sequence[str]) -> Op[None]:
    """Read the parents of the parents, level by level, until none is left that waits."""
    above = {key: tuple(parents)}
    level = list(parents)
    while level:
        found = yield from find(context.tasks, flow.parked(level), only=[fields.AFTER], hint="_id_")
        above |= {one[fields.KEY]: tuple(one.get(fields.AFTER, ())) for one in found}
        _refuse(cycle_among(above))
        level = list({up for one in found for up in one.get(fields.AFTER, ())} - above.keys())


def _refuse(circle: list[str]) -> None:
    if circle:
        checker = Checker(InvalidTask)
        checker.refuse("after", described(circle), "tasks that do not wait for this one in turn")
        checker.finish()


def _announce(context: Context, keys: list[str], *, within: bool) -> Op[set[str]]:
    """Tell the live ones of these tasks that they are awaited, and release the children of the others."""
    touched: set[str] = set()
    announced = {"$set": {fields.CHILDREN: flow.AWAITED}}
    for _ in range(MOST_TRIES):  # one may be run again between the update and the look
        if (yield from update_many(context.tasks, flow.live(keys), announced)) == len(keys):
            break
        only = [fields.STATE, fields.CHILDREN, fields.KEEP, fields.VERSION, fields.BATCH]
        found = yield from find(context.tasks, filters.by_keys(keys), only=only, hint="_id_")
        ended = [parent_from(one) for one in found if one[fields.STATE] not in _LIVE]
        missing = _missing(keys, found)
        touched |= yield from release(context, [*ended, *missing], within=within)
        keys = [
            one[fields.KEY] for one in found if one[fields.STATE] in _LIVE and one.get(fields.CHILDREN) != flow.AWAITED
        ]
        if not keys:
            break
    return touched


def _missing(keys: Iterable[str], found: Sequence[Document]) -> list[Parent]:
    there = {one[fields.KEY] for one in found}
    return [Parent(key, completed=False, missing=True) for key in keys if key not in there]
