"""What follows the end of tasks that others wait for: their children are released, and their batches looked at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from mongoq.core.lifecycle import WAITING, Event, TaskState
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import Document, Filter, Op, update_many
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters, flow, updates
from mongoq.storage.operations.decide import Ended
from mongoq.storage.operations.flow import calling
from mongoq.storage.operations.flow.release import Parent, release, settle

FINAL: Final = (Event.COMPLETE, Event.FAIL, Event.CANCEL, Event.EXPIRE)


def unawaited(group: Sequence[Ended]) -> Filter:
    """The guard of endings of tasks that had no children when they were claimed: they may have some now."""
    first = group[0]
    return {} if first.awaited or first.verdict.event not in FINAL else {fields.CHILDREN: None}


def follow(context: Context, endings: Sequence[Ended], *, sure: bool, within: bool = False) -> Op[bool]:
    """Release the children of what has ended, and look at the batches; where not `sure`, of what is read as ended.

    Whether there may be work now: there were children, or a batch was called back.
    """
    if not any(one.awaited or one.batch is not None for one in endings):
        return False
    ended = [one for one in endings if one.verdict.event in FINAL]
    touched = {one.batch for one in ended if one.batch is not None}
    awaited = [one for one in ended if one.awaited]
    if awaited and sure:
        touched |= yield from release(context, [_parent(one) for one in awaited], within=within)
    elif awaited:
        touched |= (yield from settle(context, [one.task.key for one in awaited]))[1]
    called = yield from calling.look(context, sorted(touched), within=within)
    return called or bool(awaited)


def follow_closed(context: Context, found: Iterable[Document]) -> Op[None]:
    """Do as `follow` for tasks that were ended without having run, by the documents that were read before."""
    concerned = [one for one in found if flow.is_awaited(one)]
    if not concerned:
        return
    touched = {one[fields.BATCH] for one in concerned if fields.BATCH in one}
    parents = [one[fields.KEY] for one in concerned if fields.CHILDREN in one]
    if parents:
        touched |= (yield from settle(context, parents))[1]
    yield from calling.look(context, sorted(touched))


def follow_task(context: Context, task: Task) -> Op[None]:
    """Do as `follow_closed` for one task that was read."""
    document: Document = {fields.KEY: task.key}
    if task.children:
        document[fields.CHILDREN] = flow.AWAITED
    if task.batch is not None:
        document[fields.BATCH] = task.batch
    yield from follow_closed(context, [document])


def part_with(context: Context, found: Sequence[Document]) -> Op[list[str]]:
    """Release or cancel the children of tasks that are about to be deleted; the keys of the parents.

    A waiting parent is cancelled first: what a crash leaves then is a cancelled task, whose children a sweep finds.
    """
    parents = [one[fields.KEY] for one in found if fields.CHILDREN in one]
    if not parents:
        return []
    now, keep = context.clock.now(), context.options.policy.keep_failed
    closed = updates.closed(TaskState.CANCELLED, now, keep, awaited=True)
    waiting = {**filters.by_keys(parents), **filters.in_states(WAITING)}
    yield from update_many(context.tasks, waiting, closed)
    yield from settle(context, parents)
    return parents


def _parent(one: Ended) -> Parent:
    keep = one.verdict.keep if one.batch is None else None
    return Parent(one.task.key, one.verdict.event is Event.COMPLETE, None if keep is None else keep.total_seconds())
