"""Enqueue the tasks of schedules that are due: exactly one for each tick, from whichever process.

Every process may try; there is no leader. The task is inserted under the key of its tick, and the schedule moved on to
the next one, in one transaction that reads both: a process that is killed leaves both undone, and one that froze
between reading and writing meets a write conflict, looks again and finds the tick enqueued, however long ago its task
has gone. On a standalone server, which has no transactions, the insert comes first and the move is guarded by the
version: a kill between them is made good by the next look, which finds the key taken. There, a process that froze for
longer than the finished task is kept can enqueue a tick again.

An idle look is one find by the index of the next ticks.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from mongoq.core.errors import MongoqError, StorageRefused, StorageUnavailable, Unsupported
from mongoq.core.lifecycle import FINISHED
from mongoq.core.options import MOST_BYTES
from mongoq.core.validation import shortened
from mongoq.scheduling.due import due, key_of, spread
from mongoq.scheduling.given import SKIP
from mongoq.scheduling.schedule import Schedule
from mongoq.storage.commands import WRITE_CONFLICT, Bulk, Changing, Document, Op, Update, find, update_many
from mongoq.storage.context import Context
from mongoq.storage.control import Transact
from mongoq.storage.documents import encoding, fields, filters, schedules
from mongoq.storage.documents.drafting import Draft
from mongoq.storage.operations import enqueue
from mongoq.storage.operations.schedules.keep import UNREADABLE, next_tick
from mongoq.storage.operations.sweep import BLOCKED, Swept

TOGETHER: Final = 50
"""So many schedules are moved in one transaction: those that lose a race have little to do again."""
FOUND: Final = 1_000
ENOUGH_BYTES: Final = 4 * 2**20
"""A transaction ends with the schedule whose tasks bring it to this size."""
TRIED_FOR: Final = timedelta(seconds=0.5)
NO_RIGHT: Final = 13
BUSY: Final = ""
"""In place of a name: others are at it, or a process was killed in the middle, whose transaction ends by itself."""


class Move(NamedTuple):
    """What is to be written for one schedule."""

    name: str
    version: int
    update: Update
    drafts: Sequence[Draft]


def tick(context: Context, skip_keys: Collection[str] = ()) -> Op[Swept]:
    """Enqueue what is due; how many tasks, and when the next tick is: zero where more may be due already."""
    now = context.clock.earliest()
    first = yield from _first(context)
    if first is None or first > now:
        return Swept(0, None if first is None else first - now)
    only = [schedules.NAME]
    found = yield from find(
        context.schedules, schedules.due(now), only=only, sort=[(schedules.NEXT_AT, 1)], limit=FOUND + len(skip_keys)
    )
    names = [name for document in found if (name := document[schedules.NAME]) not in skip_keys]
    moved = 0
    blocked: list[str] = []
    for some in _apart(names):
        done, held = yield from _together(context, some)
        moved += done
        blocked += held
    stuck = blocked or not names
    blocked = [name for name in blocked if name != BUSY]
    return Swept(moved, BLOCKED if stuck else timedelta(0), tuple(blocked), full=not stuck)


def _first(context: Context) -> Op[datetime | None]:
    try:
        return (yield from next_tick(context))
    except StorageRefused as error:
        if error.code != NO_RIGHT:
            raise
        return None  # a worker whose user may not read schedules leaves them to others


def _apart(names: list[str]) -> Iterator[list[str]]:
    """Groups of schedules, in an order of this process's own: the others begin elsewhere."""
    groups = [names[start : start + TOGETHER] for start in range(0, len(names), TOGETHER)]
    random.shuffle(groups)
    yield from groups


def _together(context: Context, names: list[str]) -> Op[tuple[int, list[str]]]:
    """Move these schedules at once; where that is refused each by itself. How many tasks, and which are stuck."""
    try:
        return (yield from _tried(context, names)), []
    except StorageUnavailable as error:
        if error.code != WRITE_CONFLICT:
            raise
        return 0, [BUSY]
    except StorageRefused as error:
        if len(names) > 1:
            return (yield from _one_by_one(context, names))
        yield from _note(context, names[0], error)
        return 0, names


def _one_by_one(context: Context, names: list[str]) -> Op[tuple[int, list[str]]]:
    moved = 0
    blocked: list[str] = []
    for name in names:
        done, held = yield from _together(context, [name])
        moved += done
        blocked += held
    return moved, blocked


def _tried(context: Context, names: list[str]) -> Op[int]:
    try:
        moved: int = yield Transact(lambda: _move(context, names, in_transaction=True), TRIED_FOR)
    except Unsupported:
        moved = yield from _move(context, names, in_transaction=False)
    return moved


def _move(context: Context, names: list[str], *, in_transaction: bool) -> Op[int]:
    """Read those that are still due, insert the tasks of their ticks, and move each on; how many tasks."""
    now = context.clock.earliest()
    found = yield from find(context.schedules, schedules.due(now, names), sort=[(schedules.NAME, 1)])
    known = [(document, _read(document, now)) for document in found]
    last = [one.last_key for _, one in known if isinstance(one, Schedule) and one.overlap == SKIP and one.last_key]
    going = yield from _unfinished(context, last)
    moves: list[Move] = []
    writes: list[Changing] = []
    size = 0
    for document, one in known:
        if isinstance(one, Schedule):
            move = _planned(one, document, now, going=one.last_key in going)
            moves.append(move)
            writes.append(Changing(schedules.at_version(one.name, document[schedules.VERSION]), move.update))
            size += sum(len(draft.body.raw) for draft in move.drafts)
        else:
            where = {schedules.NAME: {"$eq": document[schedules.NAME]}}
            writes.append(Changing(where, schedules.refused(one, unreadable=True)))
        if size > ENOUGH_BYTES:
            break
    enqueued = yield from _insert(context, [draft for move in moves for draft in move.drafts], in_transaction)
    if writes:
        yield Bulk(context.schedules, writes, ordered=False)
    return enqueued


def _read(document: Document, now: datetime) -> Schedule | str:
    """The schedule, or why it cannot be read."""
    try:
        one = schedules.schedule_from(document)
        one.timing.after(now)  # it may name a zone that this host does not know
    except UNREADABLE as error:
        return f"its document cannot be read: {shortened(error)}"
    return one


def _unfinished(context: Context, keys: list[str]) -> Op[set[str]]:
    if not keys:
        return set()
    states = {"$nin": [state.value for state in FINISHED]}
    where = {**filters.by_keys(keys), fields.STATE: states}
    found = yield from find(context.tasks, where, only=[fields.KEY], hint="_id_")
    return {document[fields.KEY] for document in found}


def _planned(one: Schedule, document: Document, now: datetime, *, going: bool) -> Move:
    """The tasks of the ticks that are due, and the schedule after them."""
    assert one.next_at is not None
    plan = due(one.timing, one.next_at, one.catch_up, now)
    if going and one.overlap == SKIP:
        return Move(one.name, one.version, schedules.ticked(None, None, plan.next_at, len(plan.ticks)), [])
    stored = document[schedules.TASK], document.get(schedules.MAX_AGE)
    drafts = [_draft(one, stored, tick, now) for tick in plan.ticks]
    last = plan.ticks[-1] if plan.ticks else None
    update = schedules.ticked(last, drafts[-1].key if drafts else None, plan.next_at, 0)
    return Move(one.name, one.version, update, drafts)


def _draft(one: Schedule, stored: tuple[Document, float | None], tick: datetime, now: datetime) -> Draft:
    """The task of one tick, with the policy of the queue that defined the schedule."""
    task, max_age = stored
    due_at = tick + spread(one.name, tick, one.jitter)
    key = key_of(one.name, tick)
    options = replace(one.task, key=key, run_at=due_at if due_at > now else None)
    expires_at = None if max_age is None else max(due_at, now) + timedelta(seconds=max_age)
    model = encoding.model_document(options, now, {}, expires_at)
    if fields.POLICY in task:
        model[fields.POLICY] = task[fields.POLICY]
    body = encoding.encoded(encoding.new_document(model, key, options.tags), MOST_BYTES)
    return Draft(options, model, key, options.tags, body)


def _insert(context: Context, drafts: list[Draft], in_transaction: bool) -> Op[int]:
    """Insert what is not there yet; how many tasks."""
    if not drafts:
        return 0
    insert = enqueue.chunk_in_transaction if in_transaction else enqueue.together
    others: Mapping[int, Any] = yield from insert(context, drafts, only=[])
    for other in others.values():
        if isinstance(other, MongoqError):
            raise other
    return len(drafts) - len(others)


def _note(context: Context, name: str, error: StorageRefused) -> Op[None]:
    """Show why a tick was refused; it stays due."""
    yield from update_many(context.schedules, schedules.called(name), schedules.refused(str(error), unreadable=False))
