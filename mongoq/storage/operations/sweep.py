"""The sweeps: promote scheduled tasks that are due, rescue tasks with lost leases, expire old tasks.

Every process sweeps; there is no leader. A sweep finds a batch through its index and writes under the same guard, so
two sweeps at once do no harm. Each returns when its next work is due, so that idle processes rarely look.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from mongoq.core.judging.verdict import Lost, Verdict
from mongoq.core.lifecycle import TaskState
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import Document, Filter, Op, Update, find, find_one
from mongoq.storage.context import Context
from mongoq.storage.documents import decoding, fields, filters, flow, indexes, updates
from mongoq.storage.documents.limiting import slots
from mongoq.storage.operations.decide import decide
from mongoq.storage.operations.flow.ending import follow_closed
from mongoq.storage.operations.limits import parking
from mongoq.storage.operations.limits.sweeping import sweep_limits
from mongoq.storage.operations.modify.following import change_with, close_each, end_with, follows
from mongoq.storage.operations.on_conflict.again import as_asked, ends, for_one_more
from mongoq.storage.operations.recovery.malformed import update_well_formed, well_formed
from mongoq.storage.operations.recovery.skip_locked import NOTHING, PartialWrite

if TYPE_CHECKING:
    from mongoq.storage.operations.claiming.claim import Claim

BATCH: Final = 1_000
BLOCKED: Final = timedelta(seconds=1)
"""The pause when all tasks found went to another sweep, or are held by an open transaction."""

_JUDGED: Final = [
    fields.QUEUE, fields.STATE, fields.PRIORITY, fields.RUN_AT, fields.VERSION, fields.ATTEMPTS,
    fields.UNCHARGED, fields.LOST_LEASES, fields.EXPIRES_AT, fields.POLICY, fields.TOKEN,
    fields.WORKER, fields.CANCEL_REQUESTED, fields.MOVED_FROM, fields.AGAIN,
    fields.CHILDREN, fields.BATCH, fields.SLOTS,
]  # fmt: skip


class Swept(NamedTuple):
    """What one sweep did."""

    moved: int
    """How many tasks it moved."""
    next: timedelta | None
    """Time until the next task is due; None: no task is waiting for this sweep.

    Zero after a sweep that moved tasks, because the next may be due at once.
    """
    blocked: Sequence[str] = ()
    """The keys of the tasks that an open transaction holds: skip them for a while, since each try costs time."""
    full: bool = False
    """Whether it found a whole batch, so that more tasks may be due."""
    ended: Sequence[tuple[Task, Verdict]] = ()
    """The tasks that a rescue has ended, as they were before, each with how."""


def promote(context: Context, skip_keys: Collection[str] = ()) -> Op[Swept]:
    """Make ready the scheduled tasks that are due."""
    now = context.clock.earliest()
    soonest = yield from _wait(context, filters.first_scheduled(), fields.RUN_AT, indexes.DUE, now)
    if soonest is None or soonest > timedelta(0):
        return Swept(0, soonest)
    guard = filters.due(now)
    found = yield from _batch(context, guard, skip_keys, only=[fields.KEY], by=fields.RUN_AT, hint=indexes.DUE)
    keys = [document[fields.KEY] for document in found]
    done = (yield from _promote(context, keys, guard, now)) if keys else NOTHING
    return _swept(done, found)


def expire(context: Context, skip_keys: Collection[str] = ()) -> Op[Swept]:
    """Expire waiting tasks past their `expires_at`. A running task may still complete."""
    now = context.clock.earliest()
    soonest = yield from _wait(context, filters.first_expirable(), fields.EXPIRES_AT, indexes.EXPIRY, now)
    if soonest is None or soonest > timedelta(0):
        return Swept(0, soonest)
    only = [fields.KEY, fields.POLICY, fields.CHILDREN, fields.BATCH]
    guard = filters.overdue(now)
    found = yield from _batch(context, guard, skip_keys, only=only, by=fields.EXPIRES_AT, hint=indexes.EXPIRY)
    return _swept((yield from close_expired(context, found, now)), found)


def close_expired(context: Context, found: list[Document], now: datetime) -> Op[PartialWrite]:
    """Expire these waiting tasks, by one update for each retention among them."""
    groups: dict[tuple[timedelta, bool, bool], list[str]] = defaultdict(list)
    for document in found:
        policy = context.options.policy.over(decoding.policy_from(document.get(fields.POLICY)))
        kind = policy.keep_failed, policy.on_complete is not None, flow.is_awaited(document)
        groups[kind].append(document[fields.KEY])
    done, guard = NOTHING, filters.overdue(now)
    for (keep, followed, awaited), keys in groups.items():
        if followed:
            close = close_each(context, keys, guard, TaskState.EXPIRED, now=now, keep=keep, awaited=awaited)
            done = done.joined((yield from close))
        else:
            update = updates.closed(TaskState.EXPIRED, now, keep, awaited=awaited)
            done = done.joined((yield from _update(context, keys, guard, update)))
    yield from follow_closed(context, found)
    return done


def rescue(context: Context, skip_keys: Collection[str] = ()) -> Op[Swept]:
    """Take back tasks whose lease was not renewed, one second after it ended."""
    now = context.clock.earliest()
    soonest = yield from _wait(context, filters.first_running(), fields.LEASE_UNTIL, indexes.LEASE, now)
    if soonest is None or soonest + filters.SKEW > timedelta(0):
        return Swept(0, None if soonest is None else soonest + filters.SKEW)
    guard = filters.lease_over(now)
    found = yield from _batch(context, guard, skip_keys, only=_JUDGED, by=fields.LEASE_UNTIL, hint=indexes.LEASE)
    rescued, ended = yield from _rescue(context, found, guard, now)
    if freed := [group for document in found for group in slots.groups_of(document)]:
        yield from parking.look(context, dict.fromkeys(freed))
    return _swept(rescued, found)._replace(ended=tuple(ended))


def look_at_limits(context: Context, skip_keys: Collection[str] = ()) -> Op[Swept]:
    """Let tasks go that wait for limits with room; what may start soon is made ready before."""
    del skip_keys
    looked = yield from sweep_limits(context, parking.AHEAD)
    wait = looked.next if looked.next is not None or not (looked.moved or looked.full) else BLOCKED
    return Swept(looked.moved, wait, (), looked.full)


def sweep(context: Context) -> Op[tuple[int, bool]]:
    """Promote and rescue once, and look at limits; how many tasks were moved, and whether more may be due."""
    promoted = yield from promote(context)
    rescued = yield from rescue(context)
    looked = yield from sweep_limits(context)
    return promoted.moved + rescued.moved + looked.moved, promoted.full or rescued.full


def sweeping(context: Context, claim: Callable[[], Op[Claim]]) -> Op[Claim]:
    """Claim; when nothing is ready, sweep and claim again until everything due has been swept.

    A sweep may move other queues' tasks only, so it is repeated while it is full, and not while tasks fall due.
    """
    claimed = yield from claim()
    more = True
    while more and not claimed.unread:
        moved, more = yield from sweep(context)
        if not moved:
            break
        claimed = yield from claim()
    if claimed.refusal is not None and not claimed.unread:
        raise claimed.refusal
    return claimed


def _batch(
    context: Context, guard: Filter, skip_keys: Collection[str], *, only: Sequence[str], by: str, hint: str
) -> Op[list[Document]]:
    """Find the first tasks by this index outside `skip_keys`."""
    limit = BATCH + len(skip_keys)
    found = yield from find(context.tasks, guard, only=only, sort=[(by, 1)], hint=hint, limit=limit)
    return [document for document in found if document[fields.KEY] not in skip_keys] if skip_keys else found


def _update(context: Context, keys: list[str], guard: Filter, update: Update) -> Op[PartialWrite]:
    return (yield from update_well_formed(context, keys, lambda some: filters.guarded(some, guard), update))


def _swept(done: PartialWrite, found: list[Document]) -> Swept:
    """The result of a sweep that found tasks: it is due again at once, or after a pause if it moved none."""
    return Swept(done.updated, timedelta(0) if done.updated else BLOCKED, tuple(done.skipped), len(found) >= BATCH)


def _wait(context: Context, where: Filter, field: str, index: str, now: datetime) -> Op[timedelta | None]:
    """Time until the first document by this index is due; the only command of an idle sweep."""
    first = yield from find_one(context.tasks, where, only=[field], sort=[(field, 1)], hint=index)
    return None if first is None else fields.value_of(first, field) - now


def _rescue(
    context: Context, found: list[Document], guard: Filter, now: datetime
) -> Op[tuple[PartialWrite, list[tuple[Task, Verdict]]]]:
    """Judge each lost task; tasks that are only refunded share one update per claim. Tell those that it has ended."""
    refunded: dict[str | None, list[Document]] = defaultdict(list)
    verdicts: dict[str | None, Verdict] = {}
    others: list[tuple[Document, Task, Verdict]] = []
    for document in (yield from well_formed(context, found)):
        task = decoding.task_from(document, context.namespace, now)
        verdict = decide(context, task, Lost(), "", cancelled=task.cancel_requested)
        if verdict.error is None and verdict.keep is None:
            refunded[task.token].append(document)
            verdicts[task.token] = verdict
        else:
            others.append((document, task, verdict))
    whole = yield from _whole(context, [task.key for _, task, verdict in others if verdict.keep is not None], now)
    done, ended = NOTHING, list[tuple[Task, Verdict]]()
    for document, task, verdict in others:
        where = {**guard, fields.TOKEN: task.token}
        written = yield from _end(context, document, where, verdict, now)
        if written.updated and verdict.keep is not None:
            ended.append((whole.get(task.key, task), verdict))
        done = done.joined(written)
    for token, group in refunded.items():
        keys = [document[fields.KEY] for document in group]
        where = {**guard, fields.TOKEN: token}
        done = done.joined((yield from _refund(context, keys, where, verdicts[token], now)))
    return done, ended


def _whole(context: Context, keys: list[str], now: datetime) -> Op[dict[str, Task]]:
    """These tasks with all that they have, for whoever is told of their ends."""
    if not keys:
        return {}
    found = yield from find(context.tasks, filters.by_keys(keys), without=fields.PROOFS)
    tasks = (decoding.task_shown(document, context.namespace, now) for document in found)
    return {task.key: task for task in tasks if task is not None}


def _promote(context: Context, keys: list[str], guard: Filter, now: datetime) -> Op[PartialWrite]:
    """Make these tasks ready, if each still passes the guard."""
    return _update(context, keys, guard, updates.promoted(now))


def _refund(context: Context, keys: list[str], guard: Filter, verdict: Verdict, now: datetime) -> Op[PartialWrite]:
    """Return these lost tasks to their queue by one update, if each still passes the guard."""
    return _update(context, keys, guard, updates.ended(verdict, None, now))


def _end(context: Context, document: Document, guard: Filter, verdict: Verdict, now: datetime) -> Op[PartialWrite]:
    """Write the verdict on one lost task, if it still passes the guard."""
    attempts = document.get(fields.ATTEMPTS, 0)
    update = updates.ended(verdict, None, now, queue=document[fields.QUEUE], attempts=attempts)
    if verdict.keep is not None and flow.is_awaited(document):
        update = flow.kept(update, now, verdict.keep)
    done = yield from _write_end(context, document, guard, (verdict, update))
    yield from follow_closed(context, [document] if verdict.keep is not None else [])
    return done


def _write_end(context: Context, document: Document, guard: Filter, ending: tuple[Verdict, Update]) -> Op[PartialWrite]:
    (verdict, update), now = ending, context.clock.earliest()
    if fields.AGAIN in document and ends(verdict):
        update, guard = for_one_more(document, verdict, None, now), guard | as_asked(document)
    elif follows(decoding.policy_from(document.get(fields.POLICY)).get(decoding.FOLLOW_UP), verdict):
        made = lambda task: change_with(context, task, verdict)  # noqa: E731
        return end_with(context, document[fields.KEY], guard, update, made)
    return _update(context, [document[fields.KEY]], guard, update)
