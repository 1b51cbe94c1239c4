"""Claims that name what they depend on: one task by its key, or the most urgent while others are as they were read.

A claim with dependencies writes to them in one transaction with the claim, so that a change of theirs conflicts with
it: reading them would not keep them as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

from mongoq.core.errors import StorageUnavailable, TaskNotFound, WrongState
from mongoq.core.judging.verdict import MOST_POISON_WEIGHT
from mongoq.core.lifecycle import FINISHED, TaskState
from mongoq.core.requests import ClaimRequest
from mongoq.core.tasks.conflicts import Conflict, DependencyError, Role
from mongoq.core.tasks.modification import Modification
from mongoq.core.tasks.task import Task
from mongoq.core.validation import shortened
from mongoq.storage.commands import Document, Op, find_one, update_many
from mongoq.storage.context import Context
from mongoq.storage.control import Transact
from mongoq.storage.documents import fields, filters, hold, updates
from mongoq.storage.documents.limiting import slots
from mongoq.storage.documents.unread import Unread
from mongoq.storage.operations import sweep
from mongoq.storage.operations.claiming import candidates
from mongoq.storage.operations.claiming.claim import new_token
from mongoq.storage.operations.limits import granting, holding, parking
from mongoq.storage.operations.modify import apply, conflicts
from mongoq.storage.operations.modify.plan import prepared
from mongoq.storage.operations.recovery.lost_replies import catch_up, held_under, holders, recover
from mongoq.storage.operations.recovery.malformed import update_well_formed, well_formed
from mongoq.storage.refusals import DUPLICATE, KeyTaken

MOST_TRIES: Final = 100
"""So often another may be faster, or a sweep may be full of others, before it gives up."""


class _MissedError(Exception):
    """The candidate went to another."""


class _FullError(Exception):
    """A limit has no room for the candidate."""


def by_key(
    context: Context, wanted: ClaimRequest, *, key: str, depend: Modification, token: str | None = None
) -> Op[Task]:
    """Lease the task with this key.

    Raises TaskNotFound, WrongState where it is finished or not due, and DependencyError: with `claimed` where another
    holds it, with `missing` where a dependency has changed.
    """
    held = token or new_token()
    for _ in range(MOST_TRIES):
        document = yield from find_one(context.tasks, filters.by_keys([key]), hint="_id_")
        if document is None:
            raise TaskNotFound(f"no task has the key {shortened(key)}")
        if not (yield from well_formed(context, [document])):
            continue
        refusal = _refusal(context, document)
        if refusal is None:
            try:
                task = yield from _taken(context, wanted, document, depend, held)
            except _FullError as full:
                raise WrongState(key, TaskState.READY, f"the limit {full} has no room for it") from None
            if task is not None:
                return task
        elif not (yield from _moved(context, document)):
            raise refusal
    raise StorageUnavailable(f"the task {shortened(key)} changes all the time: call again")


def most_urgent(
    context: Context, wanted: ClaimRequest, *, depend: Modification, sweeping: bool, token: str | None = None
) -> Op[Task | None]:
    """Lease the most urgent task that is ready, if the dependencies are as they were read; None when none is ready.

    Raises DependencyError where one has changed, whether a task is ready or not: who waits would wait in vain.
    """
    held = token or new_token()
    one = replace(wanted, limit=1)
    for _ in range(MOST_TRIES):
        found, _ = yield from candidates.at_head(context, one, MOST_POISON_WEIGHT, ())
        fresh, over = candidates.by_age(found, context.clock.latest().replace(tzinfo=None))
        if over:
            yield from sweep.close_expired(context, over, context.clock.latest())
            continue
        fresh, parked = yield from holding.admit(context, fresh)
        if parked:
            continue
        if fresh:
            try:
                task = yield from _taken(context, wanted, fresh[0], depend, held)
            except _FullError as full:
                yield from parking.park(context, {str(full): fresh[:1]})
                continue
            if task is not None:
                return task
        elif not sweeping or not (yield from sweep.sweep(context))[0]:
            break
    yield from _check(context, depend)
    return None


def _refusal(context: Context, document: Document) -> WrongState | DependencyError | None:
    """Why a task cannot be claimed now; None: it can."""
    key, state = document[fields.KEY], TaskState(document[fields.STATE])
    if state is TaskState.RUNNING:
        until = hold.until(document)
        ends = f" until {until:%H:%M:%S} UTC" if isinstance(until, datetime) else ""
        return DependencyError(claimed=[Conflict(key, Role.CLAIM, f"{hold.worker(document)} holds it{ends}")])
    if state in FINISHED:
        return WrongState(key, state, "a finished task is not claimed: rerun it first")
    if _over(context, document):
        return WrongState(key, TaskState.EXPIRED, "its expires_at has passed")
    if state is TaskState.READY:
        return None
    if state is TaskState.PARKED:
        return WrongState(key, state, f"it waits for {document.get(fields.WAITS_FOR) or 'other tasks'}")
    return WrongState(key, state, f"it is due at {document[fields.RUN_AT]:%Y-%m-%d %H:%M:%S} UTC: update(key, delay=0)")


def _over(context: Context, document: Document) -> bool:
    expires_at = document.get(fields.EXPIRES_AT)
    return expires_at is not None and expires_at <= context.clock.latest()


def _moved(context: Context, document: Document) -> Op[bool]:
    """Do what the sweeps owe to a task that stands as it does only because none came by; whether there was any."""
    state, now = document[fields.STATE], context.clock.earliest()
    if state == TaskState.SCHEDULED and document[fields.RUN_AT] <= now:
        return (yield from sweep.promote(context)).moved > 0
    if state == TaskState.PARKED and fields.WAITS_FOR in document:
        return (yield from parking.look(context, [document[fields.WAITS_FOR]])) > 0
    until = hold.until(document)
    if state == TaskState.RUNNING and isinstance(until, datetime) and until + filters.SKEW <= now:
        return (yield from sweep.rescue(context)).moved > 0
    if state not in FINISHED and state != TaskState.RUNNING and _over(context, document):
        return (yield from sweep.close_expired(context, [document], context.clock.latest())).updated > 0
    return False


def _taken(
    context: Context, wanted: ClaimRequest, document: Document, depend: Modification, token: str
) -> Op[Task | None]:
    """Claim this task as it was read; None where another was faster."""
    now, key, version = context.clock.latest(), document[fields.KEY], document[fields.VERSION]
    lease = wanted.lease or candidates.lease_of(context, document)
    update = updates.claimed(now, token, wanted.claimant, lease)
    if granting.is_limited(document):
        own, full = yield from granting.grant_for(context, document)
        if own is None:
            raise _FullError(full)
        update = slots.taken(update, document, own.slots, own.starts)
    task = Unread(updates.applied(document, update), context.namespace, now)
    if len(depend):
        where = filters.claimable([key], version)
        body = lambda: _together(context, depend, lambda: update_many(context.tasks, where, update))  # noqa: E731
        try:
            yield Transact(body)
        except (_MissedError, KeyTaken):  # or another took the slot
            return None
        except StorageUnavailable as error:
            if not error.ambiguous or not (yield from recover(context, [token])):
                raise
        return task.read()
    written = yield from update_well_formed(context, [key], partial(filters.claimable, version=version), update)
    if written.refusal is not None and written.refusal.code == DUPLICATE and granting.is_limited(document):
        return None  # another took the slot
    if written.doubtful:
        yield from catch_up(context, token)
        return task.read() if held_under(token, (yield from holders(context, [key], majority=True))) else None
    if written.skipped:
        raise written.refusal or StorageUnavailable(f"an open transaction holds the task {shortened(key)}")
    return task.read() if written.updated else None


def _together(context: Context, depend: Modification, claim: Callable[[], Op[int]]) -> Op[None]:
    """Depend and claim, within a transaction."""
    yield from apply.carry_out(context, prepared(context, depend))
    if not (yield from claim()):
        raise _MissedError


def _check(context: Context, depend: Modification) -> Op[None]:
    """Raise DependencyError where a dependency is not as it was read."""
    if len(depend):
        plan = prepared(context, depend)
        refusal = conflicts.refusal(plan, (yield from conflicts.look(context, plan)), {})
        if refusal is not None:
            raise refusal
