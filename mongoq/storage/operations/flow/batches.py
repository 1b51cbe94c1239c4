"""Open batches, let them take members, and call them back once when the last has ended.

Who ends members looks whether one is left, by an index: one find for all that end together. Who finds none

1. seals the batch, if it is closed: from now on it takes no members;
2. looks again: where one is left after all, added between the look and the seal, the seal is taken away; and counts;
3. makes the parked callback ready, if it is still under this seal. A sweep lets the members go that were kept for it.

Who adds members looks at the batch before and after: they are taken back where it was sealed in between. A sweep
looks at each batch every 30 s, for who crashed before 1 or in the middle.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from mongoq.core.errors import DuplicateTask, InvalidTask
from mongoq.core.judging.follow_up import FollowUp, checked_follow_up
from mongoq.core.lifecycle import FINISHED, TaskState
from mongoq.core.new_task import NewTask
from mongoq.core.validation import Checker
from mongoq.flow.batch import Batch, BatchFinished, BatchNotFound
from mongoq.storage.commands import (
    Aggregate,
    Count,
    Delete,
    Document,
    FindAndUpdate,
    InsertOne,
    Op,
    UpdateMany,
    find,
    find_one,
    update_many,
)
from mongoq.storage.context import Context
from mongoq.storage.documents import encoding, fields, filters, flow, indexes, updates
from mongoq.storage.documents.batching import batches
from mongoq.storage.operations.flow.release import settle
from mongoq.storage.operations.recovery.skip_locked import WRITE_LIMIT
from mongoq.storage.refusals import KeyTaken

LOOKED_AT: Final = 100
"""Batches that one sweep looks at."""
_MISSED: Final = "no task was to be enqueued for this end of the batch"


def open_batch(
    context: Context, task: NewTask, then: FollowUp | None, on_failure: FollowUp | None, *, within: bool
) -> Op[str]:
    """Open a batch under the key of this task, which is to be its callback; DuplicateTask where it is taken."""
    now = context.clock.now()
    key = task.key or context.new_key(now)
    if task.batch is not None:
        yield from admit(context, [task.batch], within=within)
    model = encoding.model_document(task, now, {}, None)
    document = batches.opened(encoding.new_document(model, key, {}), then, on_failure, now)
    try:
        yield InsertOne(context.tasks, encoding.encoded(document, context.options.max_task_bytes))
    except KeyTaken as taken:
        raise DuplicateTask(f"key: a task or a batch has {key!r} already", key=key) from taken
    if task.batch is not None and not within:
        yield from confirm(context, [task.batch], [key])
    return key


def admit(context: Context, keys: Iterable[str], *, within: bool = False) -> Op[None]:
    """BatchNotFound or BatchFinished where one of these batches takes no members.

    In a transaction it writes to them, so that nobody calls them back before that commits.
    """
    for key in dict.fromkeys(keys):
        where = batches.taking(key)
        if within:
            taken = bool((yield from update_many(context.tasks, where, batches.joined(secrets.token_hex(4)))))
        else:
            taken = bool((yield from find_one(context.tasks, where, only=[fields.KEY], hint="_id_")))
        if not taken:
            raise (yield from _refusal(context, key))


def confirm(context: Context, keys: Iterable[str], members: Sequence[str]) -> Op[None]:
    """Take these new members back, and raise BatchFinished, where one of the batches was sealed meanwhile."""
    try:
        yield from admit(context, keys)
    except BatchFinished:
        waiting = filters.in_states([TaskState.PARKED, TaskState.SCHEDULED, TaskState.READY])
        yield Delete(context.tasks, {**filters.by_keys(members), **waiting}, hint="_id_")
        raise


def _refusal(context: Context, key: str) -> Op[BatchNotFound | BatchFinished]:
    if (yield from find_one(context.tasks, batches.called(key), only=[fields.KEY], hint="_id_")) is None:
        return BatchNotFound(f"no batch has the key {key!r}")
    return BatchFinished(f"the batch {key!r} has called back: it takes no new members")


def close(context: Context, key: str) -> Op[None]:
    """Close a batch: it calls back when no member is left, now where none is."""
    if not (yield from update_many(context.tasks, batches.is_open(key), batches.closed())):
        found = yield from find_one(context.tasks, batches.called(key), only=[fields.KEY], hint="_id_")
        if found is None:
            raise BatchNotFound(f"no batch has the key {key!r}")
    yield from look(context, [key])


def look(context: Context, keys: Iterable[str]) -> Op[bool]:
    """Call back those of these batches that have no member left and are closed; whether any was."""
    called = False
    for key in keys:
        if not (yield from _has_live(context, key)):
            called |= yield from _call_back(context, key)
    return called


def _has_live(context: Context, key: str) -> Op[bool]:
    """Whether a member is left; looked for from the end, where the last to run stand, not among keys just deleted."""
    where = batches.live_members(key)
    order = [(fields.BATCH, -1)]
    left = yield from find_one(context.tasks, where, only=[fields.KEY], sort=order, hint=indexes.MEMBERS)
    return left is not None


def look_at_due(context: Context) -> Op[tuple[int, bool]]:
    """Look at the batches of which it is time; how many there were, and whether one was called back."""
    now = context.clock.earliest()
    due = batches.due(now)
    found = yield from find(context.tasks, due, only=[fields.STATE], hint=indexes.LOOK_AT, limit=LOOKED_AT)
    keys = [one[fields.KEY] for one in found]
    if not keys:
        return 0, False
    later = {"$set": {batches.LOOK_AT: now + batches.LOOK_EVERY}}
    yield from update_many(context.tasks, {**filters.by_keys(keys), **due}, later)
    parked = [one[fields.KEY] for one in found if one[fields.STATE] == TaskState.PARKED]
    called = yield from look(context, parked)
    for key in [key for key in keys if key not in parked]:  # called back; 10,000 members take 0.3 s
        yield from _let_go(context, key)
    return len(keys), called


def _call_back(context: Context, key: str) -> Op[bool]:
    seal = secrets.token_hex(8)
    where, update = batches.sealing(key, seal)
    order = [(fields.KEY, 1)]
    document = yield FindAndUpdate(context.tasks, where, update, sort=order, hint="_id_", server_limit=WRITE_LIMIT)
    if document is None:
        return False
    if (yield from _has_live(context, key)):
        yield from update_many(context.tasks, *batches.unsealing(key, seal))
        return False
    counts = yield from _ended(context, key)
    return bool((yield from _become(context, document, seal, counts)))


def _become(context: Context, document: Document, seal: str, counts: Counter[str]) -> Op[int]:
    """Make the callback ready that this end of the batch asks for; without one, complete it unrun."""
    now, key = context.clock.earliest(), document[fields.KEY]
    told: dict[str, Any] = {fields.BATCH: key} | {state.value: counts[state] for state in FINISHED}
    well = counts[TaskState.COMPLETED] == counts.total()
    callback = _callback(document[fields.CALLBACK], well=well)
    if callback is not None:
        return (yield from update_many(context.tasks, batches.sealed(key, seal), batches.becoming(callback, told, now)))
    keep, awaited = context.options.policy.keep_completed, flow.is_awaited(document)
    ended = updates.closed(TaskState.COMPLETED, now, keep, awaited=awaited)
    ended["$set"][fields.NOTE] = _MISSED
    done = yield from update_many(context.tasks, batches.sealed(key, seal), batches.without_callback(ended, told, now))
    if done and awaited:
        yield from settle(context, [key])
        yield from look(context, [document[fields.BATCH]] if fields.BATCH in document else [])
    return done


def _callback(known: dict[str, Any], *, well: bool) -> FollowUp | None:
    spec = known.get("then") if well else known.get("on_failure") or known.get("then")
    return None if spec is None else checked_follow_up(Checker(InvalidTask), "then", spec)


def _let_go(context: Context, key: str) -> Op[None]:
    """Count the days of the members, which were kept for the callback."""
    now = context.clock.now()
    kept: list[Document] = yield Aggregate(context.tasks, batches.keeps(key), hint=indexes.ENDED_MEMBERS)
    for row in kept:
        where, update = batches.dating(key, row["_id"], now)
        yield UpdateMany(context.tasks, where, update, hint=indexes.ENDED_MEMBERS)
    yield from update_many(context.tasks, batches.called(key), {"$unset": {batches.LOOK_AT: ""}})


def _ended(context: Context, key: str) -> Op[Counter[str]]:
    """How many members of a batch ended in which way: four counts take 4 ms of 10,000 members, a group by state 9."""
    counts: Counter[str] = Counter()
    for state in FINISHED:
        counts[state] = yield Count(context.tasks, batches.ended(key, state), hint=indexes.ENDED_MEMBERS)
    return counts


def count(context: Context, key: str) -> Op[Counter[str]]:
    """How many members of a batch are in which state."""
    rows: list[Document] = []
    for where, index in ((batches.live_members(key), indexes.MEMBERS), (batches.ended(key), indexes.ENDED_MEMBERS)):
        rows += yield Aggregate(context.tasks, batches.counting(where), hint=index)
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row["_id"]] += row[batches.MEMBERS]
    return counts


def waiting(context: Context, most: int) -> Op[list[Batch]]:
    """The newest batches that have not called back, with their counts."""
    newest = [(fields.CREATED_AT, -1), (fields.KEY, -1)]
    found = yield from find(context.tasks, batches.uncalled(), sort=newest, hint=indexes.LOOK_AT, limit=most)
    counts: list[Mapping[str, int]] = []
    for one in found:
        counts += [(yield from count(context, one[fields.KEY]))]
    return [batches.batch_from(one, own) for one, own in zip(found, counts, strict=True)]


def get(context: Context, key: str) -> Op[Batch]:
    """A batch with its counts; BatchNotFound where there is none."""
    document = yield from find_one(context.tasks, batches.called(key), hint="_id_")
    if document is None:
        raise BatchNotFound(f"no batch has the key {key!r}")
    return batches.batch_from(document, (yield from count(context, key)))
