"""How many tasks wait in a bounded queue, known without a count for each enqueue.

`<namespace>.control` holds one document for each bounded queue: `size` is what was counted, and what was granted since.
A producer takes a grant for many tasks at once, by one guarded increment, and enqueues under it without asking. A grant
is void after `GRANT_FOR`, so one that a dead process held is not lost for long.

Who finds no room counts again: one process at a time, by a lease in the document, and no more often than a tenth of
the time may go into it. The count is added as a difference to what was read before it, so grants that are made
meanwhile stay counted. What was granted and not yet void counts beside the tasks that were found, though some of it is
among them: the size is never too small, and exact where nobody enqueues.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any, Final

from mongoq.core.clock import elapsed
from mongoq.core.lifecycle import TaskState
from mongoq.storage.commands import Count, Document, FindAndUpdate, InsertOne, Op, UpdateMany, find_one
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters, indexes
from mongoq.storage.documents.decoding import LONG_AGO
from mongoq.storage.refusals import KeyTaken

GRANT_FOR: Final = timedelta(seconds=2)
"""How long a grant counts. Its holder lets it go half a second earlier."""
USED_AT_ONCE: Final = timedelta(seconds=0.25)
"""How long a grant counts of which nothing is left over: its tasks are inserted right after it."""
FRESH: Final = timedelta(seconds=2)
"""Grants are made by a count that is not older: what others enqueue who ask for no grant is seen that soon."""
SHORTEST_PAUSE: Final = timedelta(milliseconds=50)
"""Between two counts; beyond it ten times what the last one took."""
COUNT_FOR: Final = timedelta(seconds=5)
"""How long one who counts keeps the others from it; where the last count took long, twenty times that."""
LIMIT: Final = timedelta(seconds=1)
COUNT_LIMIT: Final = timedelta(seconds=30)
_SIZE, _AT, _TOOK, _GRANTS, _COUNTING = "size", "at", "took", "grants", "counting"
_BY, _UNTIL, _NUMBER = "by", "until", "n"


class Counted(Enum):
    """What came of the wish to count."""

    NOW = auto()
    LATELY = auto()
    """The last count is too young."""
    ELSEWHERE = auto()
    """Another process counts just now."""


def granted(context: Context, queue: str, by: str, count: int, *, held: int, kept: int, most: int) -> Op[int | None]:
    """Take a grant for so many tasks beyond the `held` ones; how much room is left, or None where there is not enough.

    `by` names the process, which has one grant at a time for a queue; `kept` of these are for later.
    """
    now = context.clock.now()
    lasts = GRANT_FOR if held or kept else USED_AT_ONCE
    where = {fields.KEY: _id(queue), _SIZE: {"$lte": most - count}, _AT: {"$gt": now - FRESH}}
    own = {_NUMBER: held + count, _UNTIL: now + lasts}
    update = {"$inc": {_SIZE: count}, "$set": {f"{_GRANTS}.{by}": own}}
    after: Document | None = yield FindAndUpdate(
        context.control, where, update, sort=[(fields.KEY, 1)], hint="_id_", server_limit=LIMIT
    )
    return None if after is None else most - int(after[_SIZE])


def counted(context: Context, queue: str, by: str, *, held: int) -> Op[Counted]:
    """Count the tasks that wait in this queue, unless that was done a moment ago or is being done.

    Of its own grant the process `by` knows that only `held` are left.
    """
    found = yield from find_one(context.control, {fields.KEY: _id(queue)})
    now = context.clock.now()
    if found is None:
        found = {fields.KEY: _id(queue), fields.QUEUE: queue, _SIZE: 0, _AT: LONG_AGO, _TOOK: 0.0, _GRANTS: {}}
        with suppress(KeyTaken):
            yield InsertOne(context.control, found)
    if timedelta(0) < now - found[_AT] < max(SHORTEST_PAUSE, timedelta(seconds=10 * found[_TOOK])):
        return Counted.LATELY
    mark = secrets.token_hex(4)
    where = {fields.KEY: _id(queue), _AT: found[_AT], f"{_COUNTING}.{_UNTIL}": {"$not": {"$gt": now}}}
    lease = {_BY: mark, _UNTIL: now + max(COUNT_FOR, timedelta(seconds=20 * found[_TOOK]))}
    before: Document | None = yield FindAndUpdate(
        context.control, where, {"$set": {_COUNTING: lease}}, sort=[(fields.KEY, 1)], hint="_id_", server_limit=LIMIT
    )
    if before is None:
        return Counted.ELSEWHERE
    began = elapsed()
    waiting = yield from _waiting(context, queue)
    grants = before.get(_GRANTS, {})
    if by in grants:
        grants[by][_NUMBER] = held
    update = _corrected(before, grants, waiting, context.clock.now(), elapsed() - began)
    yield UpdateMany(context.control, {fields.KEY: _id(queue), f"{_COUNTING}.{_BY}": mark}, update)
    return Counted.NOW


def _waiting(context: Context, queue: str) -> Op[dict[str, int]]:
    """How many tasks of the queue are in each state of those that wait.

    First the scheduled ones: one that becomes ready in between is counted twice, and not left out.
    """
    found: dict[str, int] = {}
    for state, index in ((TaskState.SCHEDULED, indexes.DUE), (TaskState.READY, indexes.CLAIM)):
        where = {**filters.in_states([state]), fields.QUEUE: {"$eq": queue}}
        found[state.value] = yield Count(context.tasks, where, hint=index, timeout=COUNT_LIMIT)
    return found


def _corrected(
    before: Document, grants: Document, waiting: dict[str, int], now: datetime, took: float
) -> dict[str, Any]:
    """The update after a count; `before` is the document as it was before it."""
    valid = {by: grant for by, grant in grants.items() if grant[_UNTIL] > now}
    size = sum(waiting.values()) + sum(grant[_NUMBER] for grant in valid.values())
    void = {f"{_GRANTS}.{by}": "" for by in grants.keys() - valid.keys()}
    return {
        "$inc": {_SIZE: size - int(before[_SIZE])},
        "$set": {_AT: now, _TOOK: took, **waiting},
        "$unset": {_COUNTING: "", **void},
    }


def _id(queue: str) -> str:
    return f"depth:{queue}"
