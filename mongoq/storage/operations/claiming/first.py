"""Claim one task in one round trip: find and update in one step, as an idle worker and a claim by hand do."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from mongoq.core.errors import StorageError, StorageRefused, StorageUnavailable
from mongoq.core.judging.verdict import Verdict
from mongoq.core.lifecycle import Event
from mongoq.core.requests import ClaimRequest
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import TIME_IS_UP, Document, FindAndUpdate, Op, update_many
from mongoq.storage.context import Context
from mongoq.storage.documents import decoding, fields, filters, hold, indexes, updates
from mongoq.storage.documents.limiting.slots import UNLIMITED
from mongoq.storage.documents.unread import Unread
from mongoq.storage.operations import sweep
from mongoq.storage.operations.claiming import candidates
from mongoq.storage.operations.claiming.claim import Claim, new_token
from mongoq.storage.operations.claiming.many import MOST_UNFIT, skipping_locked
from mongoq.storage.operations.decide import Ended
from mongoq.storage.operations.finish import finish
from mongoq.storage.operations.namespace.orders import admitted
from mongoq.storage.operations.recovery.lost_replies import lost_claim
from mongoq.storage.operations.recovery.malformed import well_formed
from mongoq.storage.operations.recovery.skip_locked import PROBE

ONE_LIMIT: Final = timedelta(milliseconds=300)
"""Time limit of a claim in one step; after it the claim skips locked tasks."""


def claim_one(context: Context, wanted: ClaimRequest, *, token: str | None = None) -> Op[Task | None]:
    """Lease the most urgent ready task in one round trip; None when nothing is ready."""
    claimed = (yield from claim_first(context, wanted, token=token)).tasks
    return claimed[0] if claimed else None


def claim_first(context: Context, wanted: ClaimRequest, *, token: str | None = None) -> Op[Claim]:
    """As `claim_one`, for an idle worker, which goes on with batches."""
    gate = context.gate
    if len(wanted.parts) > 1 or gate.limits or gate.pauses or context.options.fairness:  # one step heeds none of these
        return (yield from skipping_locked(context, replace(wanted, limit=1), token, PROBE))
    for _ in range(MOST_UNFIT):
        now = context.clock.latest()
        held = token or new_token()
        try:
            document = yield from _take_first(context, wanted, held, now)
        except StorageError as error:
            if not isinstance(error, StorageRefused) and error.code != TIME_IS_UP:
                raise
            # A malformed or locked task is at the head. A batch of one sets it aside or skips it.
            return (yield from skipping_locked(context, replace(wanted, limit=1), held, PROBE))
        if document is None:
            return Claim([], more=False, lost=0)
        if not (yield from _fit(context, document, now)):
            continue
        yield from _give_own_lease(context, wanted, document, held, now)
        return Claim([Unread(document, context.namespace, now)], more=True, lost=0)
    return Claim([], more=True, lost=0)


def try_claim(context: Context, wanted: ClaimRequest, *, token: str | None = None) -> Op[Task | None]:
    """Claim one task; when none is ready, promote and rescue first, then claim again."""
    claimed = (yield from sweep.sweeping(context, lambda: claim_first(context, wanted, token=token))).tasks
    return claimed[0] if claimed else None


def _take_first(context: Context, wanted: ClaimRequest, token: str, now: datetime) -> Op[Document | None]:
    update = updates.claimed(now, token, wanted.claimant, wanted.lease or context.options.policy.lease)
    ready = admitted(context, wanted.queues, wanted.where, wanted.names, least=wanted.least, due_by=wanted.due_by)
    if ready is None:
        return None
    hint = candidates.hint_of(wanted.names)
    try:
        document: Document | None = yield FindAndUpdate(
            context.tasks,
            {**ready, **UNLIMITED},
            update,
            sort=indexes.URGENCY,
            hint=hint,
            server_limit=ONE_LIMIT,
        )
    except StorageUnavailable as error:
        if not error.ambiguous or error.code == TIME_IS_UP:
            raise
        document = yield from lost_claim(context, token)  # the driver's retry had no reply either
    return document


def _give_own_lease(context: Context, wanted: ClaimRequest, document: Document, token: str, now: datetime) -> Op[None]:
    """Give a task just taken the lease of its own policy, where that is not the queue's, which it was taken with."""
    own = wanted.lease or candidates.lease_of(context, document)
    if own != (wanted.lease or context.options.policy.lease):
        where = filters.held_until([document[fields.KEY]], [token], hold.until(document))
        yield from update_many(context.tasks, where, updates.shortened(now, own))
        hold.shorten(document, now + own)


def _fit(context: Context, document: Document, now: datetime) -> Op[bool]:
    """Whether a task just taken may run; a malformed one is set aside here, and an expired one is closed."""
    if not (yield from well_formed(context, [document])):
        return False
    expires_at = document.get(fields.EXPIRES_AT)
    if expires_at is None or expires_at > now:
        return True
    task = decoding.task_from(document, context.namespace, now)
    keep = context.options.policy.over(task.policy).keep_failed
    yield from finish(context, [Ended(task, Verdict(Event.EXPIRE, charged=False, keep=keep))])
    yield from sweep.expire(context)
    return False
