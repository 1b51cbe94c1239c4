"""Enqueue the tasks of schedules that are due: exactly one for each tick, from whichever process.

Every process may try; there is no leader. Who finds a schedule due inserts the tasks of its ticks as drafts, which
nobody can claim, and lets `launch` make them tasks. An idle look is one find by the index of the next ticks.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from mongoq.core.lifecycle import FINISHED
from mongoq.core.options import MOST_BYTES
from mongoq.core.validation import shortened, whole_milliseconds
from mongoq.scheduling.due import due, key_of, spread
from mongoq.scheduling.given import SKIP
from mongoq.scheduling.schedule import Schedule
from mongoq.storage.commands import Bulk, Changing, Document, Op, find, update_many
from mongoq.storage.context import Context
from mongoq.storage.documents import encoding, fields, filters
from mongoq.storage.documents.scheduling import launches, schedules
from mongoq.storage.documents.scheduling.launches import Draft, Standing
from mongoq.storage.operations.schedules import launch
from mongoq.storage.operations.schedules.keep import UNREADABLE, next_tick
from mongoq.storage.operations.schedules.launch import Plan
from mongoq.storage.operations.sweep import BLOCKED, Swept
from mongoq.storage.refusals import if_allowed

TOGETHER: Final = 100
"""So many schedules are moved on at once: those that lose a race have little to do again."""
FOUND: Final = 1_000
ENOUGH_BYTES: Final = 4 * 2**20
"""A group ends with the schedule whose tasks bring it to this size."""


class Unread(NamedTuple):
    """A document that is no schedule of this version of mongoq, and why."""

    document: Document
    why: str


def tick(context: Context, skip_keys: Collection[str] = ()) -> Op[Swept]:
    """Enqueue what is due; how many tasks, and when the next tick is: zero where more may be due already."""
    now = context.clock.earliest()
    first = yield from if_allowed(next_tick(context), None)  # whoever may not read schedules leaves them to others
    if first is None or first > now:
        return Swept(0, None if first is None else first - now)
    order = [(schedules.NEXT_AT, 1)]
    found = yield from find(context.schedules, schedules.due(now), sort=order, limit=FOUND + len(skip_keys))
    mine = [document for document in found if document[schedules.NAME] not in skip_keys]
    moved = 0
    blocked: list[str] = []
    for group in _apart(mine):
        done, held = yield from _advance(context, group, now)
        moved += done
        blocked += held
    stuck = blocked or not mine
    return Swept(moved, BLOCKED if stuck else timedelta(0), tuple(blocked), full=not stuck)


def _apart(documents: list[Document]) -> Iterator[list[Document]]:
    """Groups of schedules, in an order of this process's own: the others begin elsewhere."""
    groups = [documents[start : start + TOGETHER] for start in range(0, len(documents), TOGETHER)]
    random.shuffle(groups)
    yield from groups


def _advance(context: Context, documents: list[Document], now: datetime) -> Op[tuple[int, list[str]]]:
    """Move these schedules on, together; how many tasks that enqueued, and which schedules are stuck."""
    enqueued = yield from launch.finish(context, [one for one in documents if launches.LAUNCH in one])
    known = [_read(one, now) for one in documents if launches.LAUNCH not in one]
    going = yield from _unfinished(context, [one.last_key for one in known if isinstance(one, Schedule)])
    stored = {document[schedules.NAME]: document for document in documents}
    plans: list[Plan] = []
    writes: list[Changing] = []
    size = 0
    for one in known:
        if isinstance(one, Unread):
            update = schedules.refused(one.why, unreadable=True)
            writes.append(Changing({schedules.NAME: one.document[schedules.NAME]}, update))
            continue
        plan = _planned(one, stored[one.name], now, going=one.last_key in going)
        if not plan.drafts:
            writes.append(Changing(schedules.at_version(one.name, one.version), schedules.ticked(plan.after)))
            continue
        plans.append(plan)
        size += sum(len(body.raw) for body in plan.bodies)
        if size > ENOUGH_BYTES:
            break
    if writes:
        yield Bulk(context.schedules, writes, ordered=False)
    launched = yield from launch.launch(context, plans)
    for name, error in launched.refused.items():  # it stays due, and is tried again later
        yield from update_many(context.schedules, schedules.called(name), schedules.refused(error, unreadable=False))
    return enqueued + launched.enqueued, list(launched.refused)


def _read(document: Document, now: datetime) -> Schedule | Unread:
    try:
        one = schedules.schedule_from(document)
        one.timing.after(now)  # it may name a zone that this host does not know
    except UNREADABLE as error:
        return Unread(document, f"its document cannot be read: {shortened(error)}")
    return one


def _unfinished(context: Context, keys: list[str | None]) -> Op[set[str]]:
    """Which of these tasks have not finished; of schedules that skip such ticks."""
    named = [key for key in keys if key]
    if not named:
        return set()
    states = {"$nin": [*(state.value for state in FINISHED), launches.DRAFT]}
    where = {**filters.by_keys(named), fields.STATE: states}
    found = yield from find(context.tasks, where, only=[fields.KEY], hint="_id_")
    return {document[fields.KEY] for document in found}


def _planned(one: Schedule, document: Document, now: datetime, *, going: bool) -> Plan:
    """The drafts of the ticks that are due, and where the schedule stands after them."""
    assert one.next_at is not None
    plan = due(one.timing, one.next_at, one.catch_up, now)
    if going and one.overlap == SKIP:
        return Plan(one.name, one.version, one.next_at, [], [], Standing(None, None, plan.next_at, len(plan.ticks)))
    token = secrets.token_hex(8)
    drafts = [_draft(one, document, tick, token, now) for tick in plan.ticks]
    last_key = drafts[-1][0].key if drafts else None
    after = Standing(plan.ticks[-1] if plan.ticks else None, last_key, plan.next_at)
    return Plan(one.name, one.version, one.next_at, [one for one, _ in drafts], [body for _, body in drafts], after)


def _draft(one: Schedule, document: Document, tick: datetime, token: str, now: datetime) -> tuple[Draft, Any]:
    """The task of one tick, as nobody can claim it yet, with the policy of the queue that defined the schedule."""
    task, max_age = document[schedules.TASK], document.get(schedules.MAX_AGE)
    due_at = max(tick + spread(one.name, tick, one.jitter), now)
    expires_at = None if max_age is None else due_at + timedelta(seconds=max_age)
    options = replace(one.task, run_at=due_at)
    model = encoding.model_document(options, now, {}, expires_at)
    if fields.POLICY in task:
        model[fields.POLICY] = task[fields.POLICY]
    key = key_of(one.name, tick)
    made = launches.as_draft(encoding.new_document(model, key, options.tags), token, now)
    return Draft(key, token, whole_milliseconds(due_at)), encoding.encoded(made, MOST_BYTES)
