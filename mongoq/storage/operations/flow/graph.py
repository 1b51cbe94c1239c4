"""A task with all that waits for it: cancelled together, or set going again."""

from __future__ import annotations

from collections.abc import Sequence

from mongoq.core.lifecycle import TaskState
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import Document, Op, find, update_many
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters, flow, indexes
from mongoq.storage.operations import bulk, requeue
from mongoq.storage.operations.flow import calling
from mongoq.storage.operations.flow.check import check

TOGETHER = 1_000


def cancel_with_children(context: Context, key: str) -> Op[Task]:
    """Cancel a task, and before it all that waits for its end, whatever they are to do when it fails."""
    generations: list[list[str]] = []
    known = {key}
    level = [key]
    while level:
        where = {fields.PARENTS: {"$in": level}, fields.STATE: TaskState.PARKED.value}
        found = yield from find(context.tasks, where, only=[fields.KEY], hint=indexes.PARENTS)
        level = [one[fields.KEY] for one in found if one[fields.KEY] not in known]
        known |= set(level)
        generations.append(level)
    for keys in reversed(generations):  # the last ones first, so that no end of a parent releases any
        for start in range(0, len(keys), TOGETHER):
            yield from bulk.cancel_all(context, filters.by_keys(keys[start : start + TOGETHER]), None)
    return (yield from bulk.cancel(context, key))


def rerun_with_children(context: Context, key: str) -> Op[Task]:
    """Run a task again, and let the children that were cancelled because of it wait for it once more, and theirs."""
    task = yield from requeue.rerun(context, key)
    level: Sequence[str] = [key]
    while level:
        level = yield from _revive(context, level)
    return task


def _revive(context: Context, parents: Sequence[str]) -> Op[list[str]]:
    """Revive the children of one generation, and look at their parents: one may have ended again."""
    named = {"$in": list(parents)}
    where = {fields.PARENTS: named, fields.STATE: TaskState.CANCELLED.value, fields.AFTER: named}
    found = yield from find(context.tasks, where, only=[fields.AFTER], hint=indexes.PARENTS)
    keys = [one[fields.KEY] for one in found]
    for start in range(0, len(keys), TOGETHER):
        chosen = {**filters.by_keys(keys[start : start + TOGETHER]), **filters.in_states([TaskState.CANCELLED])}
        yield from update_many(context.tasks, chosen, flow.revived(context.clock.now()))
    if keys:
        yield from _looked_at(context, found)
    return keys


def _looked_at(context: Context, found: Sequence[Document]) -> Op[None]:
    touched = yield from check(context, found)
    yield from calling.look(context, sorted(touched))
