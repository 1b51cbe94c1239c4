"""The sweeps: promote what is due, rescue what was lost, expire what is too old.

Every process sweeps and there is no leader: each sweep finds a batch by its index and then writes under the
same guard, so two at once do no harm. Each also says when its next work is expected, so that nobody has to
look often.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from mongoq.core.lifecycle import TaskState
from mongoq.core.task import Task
from mongoq.core.verdict import Lost, Verdict
from mongoq.storage.commands import Document, Filter, Op, Update, find, find_one
from mongoq.storage.context import Context
from mongoq.storage.documents import decoding, fields, filters, indexes, updates
from mongoq.storage.operations.decide import decide
from mongoq.storage.operations.malformed import sound, update_fit
from mongoq.storage.operations.skip_locked import NOTHING, PartialWrite

BATCH: Final = 1_000
BLOCKED: Final = timedelta(seconds=1)
"""The pause where all that was found went to another sweep, or is held by somebody's open transaction."""

_JUDGED: Final = [
    fields.QUEUE, fields.STATE, fields.PRIORITY, fields.RUN_AT, fields.VERSION, fields.ATTEMPTS,
    fields.UNCHARGED, fields.LOST_LEASES, fields.EXPIRES_AT, fields.POLICY, fields.TOKEN,
    fields.WORKER, fields.CANCEL_REQUESTED, fields.MOVED_FROM,
]  # fmt: skip


class Swept(NamedTuple):
    """What one sweep did."""

    moved: int
    """How many tasks it moved."""
    next: timedelta | None
    """How long until the next one is due; zero where some were found, since the next may be due a moment later.

    None where none is in sight.
    """
    blocked: Sequence[str] = ()
    """The keys of those that somebody's open transaction holds: to be avoided for a while, since each costs time."""
    full: bool = False
    """Whether it found as many as one sweep takes, so that more may be due."""


def promote(context: Context, avoid: Collection[str] = ()) -> Op[Swept]:
    """Make scheduled tasks ready whose time has come."""
    now = context.clock.now()
    soonest = yield from _wait(context, filters.first_scheduled(), fields.RUN_AT, indexes.DUE, now)
    if soonest is None or soonest > timedelta(0):
        return Swept(0, soonest)
    guard = filters.due(now)
    found = yield from _batch(context, guard, avoid, only=[fields.KEY], by=fields.RUN_AT, hint=indexes.DUE)
    keys = [document[fields.KEY] for document in found]
    done = (yield from _promote(context, keys, guard, now)) if keys else NOTHING
    return _swept(done, found)


def expire(context: Context, avoid: Collection[str] = ()) -> Op[Swept]:
    """End waiting tasks that were not completed in time. A running one may still complete."""
    now = context.clock.now()
    soonest = yield from _wait(context, filters.first_expirable(), fields.EXPIRES_AT, indexes.EXPIRY, now)
    if soonest is None or soonest > timedelta(0):
        return Swept(0, soonest)
    only = [fields.KEY, fields.POLICY]
    guard = filters.overdue(now)
    found = yield from _batch(context, guard, avoid, only=only, by=fields.EXPIRES_AT, hint=indexes.EXPIRY)
    return _swept((yield from close_expired(context, found, now)), found)


def close_expired(context: Context, found: list[Document], now: datetime) -> Op[PartialWrite]:
    """Expire these waiting tasks, each to be kept as long as it says."""
    groups: dict[timedelta, list[str]] = defaultdict(list)
    for document in found:
        policy = context.options.policy.over(decoding.policy_from(document.get(fields.POLICY)))
        groups[policy.keep_failed].append(document[fields.KEY])
    done = NOTHING
    for keep, keys in groups.items():
        update = updates.closed(TaskState.EXPIRED, now, keep)
        done = done.joined((yield from _update(context, keys, filters.overdue(now), update)))
    return done


def rescue(context: Context, avoid: Collection[str] = ()) -> Op[Swept]:
    """Take tasks from workers that did not renew their lease, a second beyond it."""
    now = context.clock.now()
    soonest = yield from _wait(context, filters.first_running(), fields.LEASE_UNTIL, indexes.LEASE, now)
    if soonest is None or soonest + filters.SKEW > timedelta(0):
        return Swept(0, None if soonest is None else soonest + filters.SKEW)
    guard = filters.lease_over(now)
    found = yield from _batch(context, guard, avoid, only=_JUDGED, by=fields.LEASE_UNTIL, hint=indexes.LEASE)
    return _swept((yield from _rescue(context, found, guard, now)), found)


def sweep(context: Context) -> Op[tuple[int, bool]]:
    """Promote and rescue once, now; how many tasks were moved, and whether more may be due."""
    promoted = yield from promote(context)
    rescued = yield from rescue(context)
    return promoted.moved + rescued.moved, promoted.full or rescued.full


def _batch(
    context: Context, guard: Filter, avoid: Collection[str], *, only: Sequence[str], by: str, hint: str
) -> Op[list[Document]]:
    """The first by this index, but those to avoid."""
    limit = BATCH + len(avoid)
    found = yield from find(context.tasks, guard, only=only, sort=[(by, 1)], hint=hint, limit=limit)
    return [document for document in found if document[fields.KEY] not in avoid] if avoid else found


def _update(context: Context, keys: list[str], guard: Filter, update: Update) -> Op[PartialWrite]:
    return (yield from update_fit(context, keys, lambda some: filters.guarded(some, guard), update))


def _swept(done: PartialWrite, found: list[Document]) -> Swept:
    """What a sweep did that had found something: the next may be due a moment later."""
    return Swept(done.updated, timedelta(0) if done.updated else BLOCKED, tuple(done.passed), len(found) >= BATCH)


def _wait(context: Context, where: Filter, field: str, index: str, now: datetime) -> Op[timedelta | None]:
    """How long until the first document by this index is due; the idle sweep's only command."""
    first = yield from find_one(context.tasks, where, only=[field], sort=[(field, 1)], hint=index)
    return None if first is None else first[field] - now


def _rescue(context: Context, found: list[Document], guard: Filter, now: datetime) -> Op[PartialWrite]:
    """Judge each lost task; what is merely refunded goes in one update per claim."""
    refunded: dict[str | None, list[Document]] = defaultdict(list)
    done = NOTHING
    verdicts: dict[str | None, Verdict] = {}
    for document in (yield from sound(context, found)):
        task = decoding.task_from(document, context.namespace, now)
        verdict = decide(context, task, Lost(), "", cancelled=task.cancel_requested)
        token = task.token
        if verdict.error is None and verdict.keep is None:
            refunded[token].append(document)
            verdicts[token] = verdict
        else:
            done = done.joined((yield from _end(context, task, {**guard, fields.TOKEN: token}, verdict, now)))
    for token, group in refunded.items():
        keys = [document[fields.KEY] for document in group]
        where = {**guard, fields.TOKEN: token}
        done = done.joined((yield from _refund(context, keys, where, verdicts[token], now)))
    return done


def _promote(context: Context, keys: list[str], guard: Filter, now: datetime) -> Op[PartialWrite]:
    """Make these tasks ready, as far as the guard still holds."""
    return _update(context, keys, guard, updates.promoted(now))


def _refund(context: Context, keys: list[str], guard: Filter, verdict: Verdict, now: datetime) -> Op[PartialWrite]:
    """Return these lost tasks to their queue by one update, as far as the guard still holds."""
    return _update(context, keys, guard, updates.ended(verdict, None, now))


def _end(context: Context, task: Task, guard: Filter, verdict: Verdict, now: datetime) -> Op[PartialWrite]:
    """Write the verdict on one lost task, if the guard still holds."""
    update = updates.ended(verdict, None, now, queue=task.queue, attempts=task.attempts)
    return _update(context, [task.key], guard, update)
