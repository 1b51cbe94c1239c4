"""The sweeps: promote what is due, rescue what was lost, expire what is too old.

Every process sweeps and there is no leader: each sweep finds a batch by its index and then writes under the
same guard, so two at once do no harm. Each also says when its next work is expected, so that nobody has to
look often.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from mongoq.lifecycle import TaskState
from mongoq.storage import documents, filters, indexes, reading, updates
from mongoq.storage.commands import Document, Filter, Op, Update, find, find_one
from mongoq.storage.context import Context
from mongoq.storage.quarantine import sound, update_fit
from mongoq.verdict import Lost, Verdict, judge

BATCH: Final = 1_000
BLOCKED: Final = timedelta(seconds=1)
"""The pause where all that was found went to another sweep, or is held by somebody's open transaction."""

_JUDGED: Final = [
    documents.QUEUE, documents.STATE, documents.PRIORITY, documents.RUN_AT, documents.VERSION, documents.ATTEMPTS,
    documents.UNCHARGED, documents.SUSPECT, documents.EXPIRES_AT, documents.POLICY, documents.TOKEN,
    documents.WORKER, documents.CANCEL_REQUESTED, documents.MOVED_FROM,
]  # fmt: skip


class Swept(NamedTuple):
    """What one sweep did."""

    moved: int
    """How many tasks it moved."""
    next: timedelta | None
    """How long until the next one is due; zero where some were found, since the next may be due a moment later.

    None where none is in sight.
    """


def promote(context: Context) -> Op[Swept]:
    """Make scheduled tasks ready whose time has come."""
    now = context.clock.now()
    soonest = yield from _wait(context, filters.first_scheduled(), documents.RUN_AT, indexes.DUE, now)
    if soonest is None or soonest > timedelta(0):
        return Swept(0, soonest)
    guard = filters.due(now)
    order = [(documents.RUN_AT, 1)]
    found = yield from find(context.tasks, guard, only=[documents.KEY], sort=order, hint=indexes.DUE, limit=BATCH)
    keys = [document[documents.KEY] for document in found]
    moved = (yield from _update(context, keys, guard, updates.promoted(now))) if keys else 0
    return Swept(moved, timedelta(0) if moved else BLOCKED if found else None)


def expire(context: Context) -> Op[Swept]:
    """End waiting tasks that were not completed in time. A running one may still complete."""
    now = context.clock.now()
    soonest = yield from _wait(context, filters.first_expirable(), documents.EXPIRES_AT, indexes.EXPIRY, now)
    if soonest is None or soonest > timedelta(0):
        return Swept(0, soonest)
    order = [(documents.EXPIRES_AT, 1)]
    only = [documents.KEY, documents.POLICY]
    found = yield from find(
        context.tasks, filters.overdue(now), only=only, sort=order, hint=indexes.EXPIRY, limit=BATCH
    )
    moved = yield from close_expired(context, found, now)
    return Swept(moved, timedelta(0) if moved else BLOCKED if found else None)


def close_expired(context: Context, found: list[Document], now: datetime) -> Op[int]:
    """Expire these waiting tasks, each to be kept as long as it says; how many were."""
    groups: dict[timedelta, list[str]] = defaultdict(list)
    for document in found:
        policy = context.options.policy.over(reading.policy_from(document.get(documents.POLICY)))
        groups[policy.keep_failed].append(document[documents.KEY])
    moved = 0
    for keep, keys in groups.items():
        update = updates.closed(TaskState.EXPIRED, now, keep)
        moved += yield from _update(context, keys, filters.overdue(now), update)
    return moved


def rescue(context: Context) -> Op[Swept]:
    """Take tasks from workers that did not renew their lease, a second beyond it."""
    now = context.clock.now()
    soonest = yield from _wait(context, filters.first_running(), documents.LEASE_UNTIL, indexes.LEASE, now)
    if soonest is None or soonest + filters.SKEW > timedelta(0):
        return Swept(0, None if soonest is None else soonest + filters.SKEW)
    guard = filters.lease_over(now)
    order = [(documents.LEASE_UNTIL, 1)]
    found = yield from find(context.tasks, guard, only=_JUDGED, sort=order, hint=indexes.LEASE, limit=BATCH)
    count = yield from _rescue(context, found, guard, now)
    return Swept(count, timedelta(0) if count else BLOCKED if found else None)


def sweep(context: Context) -> Op[int]:
    """Promote and rescue once, now; how many tasks were moved."""
    promoted = yield from promote(context)
    rescued = yield from rescue(context)
    return promoted.moved + rescued.moved


def _update(context: Context, keys: list[str], guard: Filter, update: Update) -> Op[int]:
    around = yield from update_fit(context, keys, lambda some: filters.guarded(some, guard), update)
    return around.updated


def _wait(context: Context, where: Filter, field: str, index: str, now: datetime) -> Op[timedelta | None]:
    """How long until the first document by this index is due; the idle sweep's only command."""
    first = yield from find_one(context.tasks, where, only=[field], sort=[(field, 1)], hint=index)
    return None if first is None else first[field] - now


def _rescue(context: Context, found: list[Document], guard: Filter, now: datetime) -> Op[int]:
    """Judge each lost task; what is merely refunded goes in one update per claim."""
    refunded: dict[str | None, list[Document]] = defaultdict(list)
    count = 0
    verdicts: dict[str | None, Verdict] = {}
    for document in (yield from sound(context, found)):
        task = reading.task_from(document, context.namespace, now)
        policy = context.options.policy.over(task.policy)
        error_queue = context.options.error_queue
        verdict = judge(task, Lost(), policy, now, "", cancelled=task.cancel_requested, error_queue=error_queue)
        token = task.token
        if verdict.error is None and verdict.keep is None:
            refunded[token].append(document)
            verdicts[token] = verdict
        else:
            where = {**guard, documents.TOKEN: token}
            update = updates.ended(verdict, None, now, queue=task.queue, attempts=task.attempts)
            count += yield from _update(context, [task.key], where, update)
    for token, group in refunded.items():
        keys = [document[documents.KEY] for document in group]
        where = {**guard, documents.TOKEN: token}
        count += yield from _update(context, keys, where, updates.ended(verdicts[token], None, now))
    return count
