"""Release the children of parents that have ended, or cancel them: one look and one write for all that end together.

Both are safe to repeat, and safe beside another process that does the same: what has been told to a child is taken
off its list by `$pull`, and a child is released by an update that asks for an empty list.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, NamedTuple

from mongoq.core.judging.policy import Policy
from mongoq.core.lifecycle import TaskState
from mongoq.flow.given import RUN
from mongoq.storage.commands import Bulk, Changing, Document, Filter, Op, find
from mongoq.storage.context import Context
from mongoq.storage.documents import decoding, fields, filters, flow, indexes, updates
from mongoq.storage.operations.flow.keeping import free_parents, others_to_date

MOST: Final = 1_000
_READ: Final = [
    fields.KEY, fields.AFTER, fields.PARENTS, fields.ON_PARENT_FAILURE, fields.POLICY, fields.CHILDREN, fields.BATCH,
    fields.RUN_AT, fields.CREATED_AT,
]  # fmt: skip


class Parent(NamedTuple):
    """A task that has ended."""

    key: str
    completed: bool
    keep: float | None = None
    """For how many seconds it is to be kept, where it waits for that to be counted."""
    version: int | None = None
    missing: bool = False


class Step(NamedTuple):
    """What one look at the children of some parents leads to."""

    writes: list[Changing]
    cancelled: list[Parent]
    """Children that were cancelled and are parents themselves."""
    followed: list[Document]
    """Children to be cancelled each by itself, because something follows their end."""
    batches: set[str]


def parent_from(document: Document) -> Parent:
    """A parent as it was read."""
    done = document[fields.STATE] == TaskState.COMPLETED
    keep = None if fields.BATCH in document else document.get(fields.KEEP)  # a batch counts the days of its members
    return Parent(document[fields.KEY], done, keep, document.get(fields.VERSION))


def settle(context: Context, keys: Sequence[str] | None = None) -> Op[tuple[int, set[str]]]:
    """Tell the children of finished tasks that nobody has told yet: of these, or of all, as after a crash.

    How many parents there were, and the batches whose members were cancelled.
    """
    only = [fields.KEY, fields.STATE, fields.KEEP, fields.VERSION, fields.BATCH]
    hint = indexes.UNSETTLED if keys is None else "_id_"
    found = yield from find(context.tasks, flow.unsettled(keys), only=only, hint=hint, limit=MOST)
    touched = (yield from release(context, [parent_from(one) for one in found])) if found else set()
    return len(found), touched


def release(context: Context, parents: Sequence[Parent], *, within: bool = False) -> Op[set[str]]:
    """Release or cancel the children of these parents, and the children of those that are cancelled.

    The batches that lost members so. `within` says that this is in a transaction.
    """
    batches: set[str] = set()
    while parents:
        parents = yield from _release(context, parents, batches, within=within)
    return batches


def _release(context: Context, parents: Sequence[Parent], batches: set[str], *, within: bool) -> Op[list[Parent]]:
    """One generation; those of it that were cancelled and have children."""
    parents = yield from _at_versions(context, parents)
    completed = {one.key for one in parents if one.completed}
    failed = {one.key: one for one in parents if not one.completed}
    cancelled: list[Parent] = []
    full = True
    while full:
        where = flow.children(completed, failed)
        found = yield from find(context.tasks, where, only=_READ, hint=indexes.PARENTS, limit=MOST)
        full = len(found) == MOST
        now = context.clock.earliest()
        step = _step(context, found, completed, failed, now)
        cancelled += step.cancelled
        batches |= step.batches
        settling = [] if full else _settling(parents, found, completed | failed.keys(), now)
        if writes := step.writes + ([] if step.followed else settling):
            yield Bulk(context.tasks, writes)
        if step.followed:
            held = yield from _cancel_each(context, step.followed, failed, within=within)
            full = full and not held
            if settling and not held:
                yield Bulk(context.tasks, settling)
        yield from others_to_date(context, found, completed | failed.keys(), now)
    return cancelled


def _at_versions(context: Context, parents: Sequence[Parent]) -> Op[list[Parent]]:
    """Read the versions of failed parents: one that is run again meanwhile is awaited anew."""
    unknown = [one.key for one in parents if not one.completed and one.version is None and not one.missing]
    if not unknown:
        return list(parents)
    found = yield from find(context.tasks, filters.by_keys(unknown), only=[fields.VERSION], hint="_id_")
    versions = {one[fields.KEY]: one.get(fields.VERSION) for one in found}
    return [one._replace(version=versions.get(one.key, one.version)) for one in parents]


def _step(
    context: Context, found: list[Document], completed: set[str], failed: dict[str, Parent], now: datetime
) -> Step:
    writes: list[Changing] = []
    stopped = [child for child in found if _stops(child, failed)]
    stopping = {child[fields.KEY] for child in stopped}
    going = [child[fields.KEY] for child in found if child[fields.KEY] not in stopping]
    if going and completed:
        writes.append(Changing(flow.parked(going), flow.told(completed), many=True))
    if failed and (anyway := [c[fields.KEY] for c in found if c.get(fields.ON_PARENT_FAILURE) == RUN]):
        writes.append(Changing({**flow.parked(anyway), **flow.runs_anyway()}, flow.told(failed), many=True))
    due = [child[fields.KEY] for child in found if child[fields.KEY] not in stopping and flow.is_due(child, now)]
    late = list(set(going).difference(due))
    writes += [Changing(*flow.released(some, now, due=some is due), many=True) for some in (due, late) if some]
    followed = [child for child in stopped if _policy(context, child).on_complete is not None]
    plain = [child for child in stopped if child not in followed]
    writes += _cancelling(context, plain, failed, now)
    cancelled = [Parent(child[fields.KEY], completed=False) for child in stopped if fields.CHILDREN in child]
    return Step(writes, cancelled, followed, {child[fields.BATCH] for child in stopped if fields.BATCH in child})


def _stops(child: Document, failed: dict[str, Parent]) -> bool:
    """Whether a child is cancelled because one of these parents did not complete."""
    return fields.ON_PARENT_FAILURE not in child and any(key in failed for key in child[fields.AFTER])


def _cancelling(
    context: Context, children: Sequence[Document], failed: dict[str, Parent], now: datetime
) -> Iterator[Changing]:
    groups: dict[tuple[str, timedelta, bool], list[str]] = defaultdict(list)
    for child in children:
        keep = _policy(context, child).keep_failed
        groups[_why(child, failed), keep, flow.is_awaited(child)].append(child[fields.KEY])
    for (why, keep, awaited), keys in groups.items():
        update = updates.closed(TaskState.CANCELLED, now, keep, awaited=awaited)
        update["$set"][fields.NOTE] = why
        yield Changing({**flow.parked(keys), **_waits_for(failed)}, update, many=True)


def _cancel_each(
    context: Context, children: Sequence[Document], failed: dict[str, Parent], *, within: bool
) -> Op[bool]:
    """Cancel children, each together with what follows its end; whether a transaction of others holds one."""
    from mongoq.storage.operations.modify import following  # noqa: PLC0415 -- it enqueues tasks, which may be children

    now, held = context.clock.now(), False
    guard = {fields.STATE: TaskState.PARKED.value, **_waits_for(failed)}
    for child in children:
        keep = _policy(context, child).keep_failed
        update = updates.closed(TaskState.CANCELLED, now, keep, awaited=flow.is_awaited(child))
        update["$set"][fields.NOTE] = _why(child, failed)
        made = partial(following.made_at_close, context, state=TaskState.CANCELLED)
        if within:
            yield from following.end_within(context, child[fields.KEY], guard, update, made)
        else:
            held |= bool((yield from following.end_with(context, child[fields.KEY], guard, update, made)).skipped)
    return held


def _waits_for(failed: dict[str, Parent]) -> Filter:
    return {fields.AFTER: {"$in": list(failed)}}


def _why(child: Document, failed: dict[str, Parent]) -> str:
    parent = failed[next(key for key in child[fields.AFTER] if key in failed)]
    return f"its parent {parent.key} {'is missing' if parent.missing else 'did not complete'}"


def _settling(parents: Sequence[Parent], found: list[Document], ended: set[str], now: datetime) -> list[Changing]:
    """Note of these parents that their children were told."""
    awaited = {key for child in found if set(child[fields.AFTER]) - ended for key in child[fields.PARENTS]}
    return list(free_parents([one for one in parents if not one.missing], awaited, now))


def _policy(context: Context, child: Document) -> Policy:
    return context.options.policy.over(decoding.policy_from(child.get(fields.POLICY)))
