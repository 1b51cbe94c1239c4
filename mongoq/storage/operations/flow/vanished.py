"""Find children whose parents are gone without a word: deleted by another program, or by the server's TTL.

What mongoq deletes it has told to the children before. Of all processes one at a time looks, in turns of a few pages:
the document of `<namespace>.control` says when the next turn is, and behind which parent it begins. A turn that ends
in a crash is repeated from where it began.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from mongoq.core.lifecycle import TaskState
from mongoq.storage.commands import Document, Op, UpdateMany, find, find_one, update_many
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters, indexes
from mongoq.storage.operations.flow.release import Parent, release

PAGE: Final = 1_000
"""Children that one find reads, and parents that one looks for."""
PAGES: Final = 20
"""Pages of a turn: 20,000 children, each of another parent, take 0.2 s."""
TURN_EVERY: Final = timedelta(seconds=5)
ROUND_EVERY: Final = timedelta(seconds=15)
"""A parent that is gone is noticed within this and the sweep's own pause, where 20,000 parents are waited for."""
_TURN: Final = "sweep:parents"
_NEXT: Final = "next"
_BEHIND: Final = "behind"


class Turn(NamedTuple):
    """What one turn found."""

    missing: int
    """Parents that are not there."""
    touched: set[str]
    """The batches whose members were cancelled."""


def look_for_parents(context: Context) -> Op[Turn]:
    """Tell children of parents that are gone, where it is time for a turn and no other process takes it."""
    now = context.clock.earliest()
    turn = yield from find_one(context.control, {fields.KEY: _TURN}, hint="_id_")
    if turn is None:
        first = {"$setOnInsert": {_NEXT: now, _BEHIND: ""}}
        yield UpdateMany(context.control, {fields.KEY: _TURN}, first, upsert=True)
        return Turn(0, set())
    where = {fields.KEY: _TURN, _NEXT: turn[_NEXT]}
    if turn[_NEXT] > now or not (yield from update_many(context.control, where, {"$set": {_NEXT: now + TURN_EVERY}})):
        return Turn(0, set())
    behind, missing, touched = str(turn.get(_BEHIND, "")), 0, set()
    for _ in range(PAGES):
        children, behind = yield from _page(context, behind)
        gone = yield from _gone(context, children)
        missing += len(gone)
        touched |= (yield from release(context, gone)) if gone else set()
        if not behind:
            break
    then = {_BEHIND: behind} | ({} if behind else {_NEXT: now + ROUND_EVERY})
    yield from update_many(context.control, {fields.KEY: _TURN, _NEXT: now + TURN_EVERY}, {"$set": then})
    return Turn(missing, touched)


def _page(context: Context, behind: str) -> Op[tuple[list[Document], str]]:
    """The next parked children in the order of their parents, and the last of these; "" where there are no more."""
    where = {fields.PARENTS: {"$gt": behind}, fields.STATE: TaskState.PARKED.value}
    only = [fields.PARENTS, fields.AFTER, fields.UNCHECKED]
    found = yield from find(context.tasks, where, only=only, hint=indexes.PARENTS, limit=PAGE)
    if len(found) < PAGE:
        return found, ""
    return found, max(min(key for key in child[fields.PARENTS] if key > behind) for child in found)


def _gone(context: Context, children: Sequence[Document]) -> Op[list[Parent]]:
    """The parents that these wait for and that are not there; an unchecked child is looked at by its producer."""
    known = [child.get(fields.AFTER) for child in children if fields.UNCHECKED not in child]
    wanted = list(dict.fromkeys(key for keys in known if isinstance(keys, list) for key in keys))
    gone: list[Parent] = []
    for start in range(0, len(wanted), PAGE):
        keys = wanted[start : start + PAGE]
        found = yield from find(context.tasks, filters.by_keys(keys), only=[fields.KEY], hint="_id_")
        there = {one[fields.KEY] for one in found}
        gone += [Parent(key, completed=False, missing=True) for key in keys if key not in there]
    return gone
