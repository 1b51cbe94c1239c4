"""Claim tasks: the most urgent first, each by exactly one claimant, under a fresh random token.

A batch is found through the claim index and taken by one guarded update, whose known effect is then applied to the
documents found. They are read again only when another claimant took some of them.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final, NamedTuple

from mongoq.core.errors import StorageError, StorageRefused, StorageUnavailable
from mongoq.core.judging.verdict import MOST_POISON_WEIGHT, Verdict
from mongoq.core.lifecycle import Event
from mongoq.core.requests import ClaimRequest
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import TIME_IS_UP, Document, FindAndUpdate, Op, Update, update_many
from mongoq.storage.context import Context
from mongoq.storage.documents import decoding, fields, filters, hold, indexes, updates
from mongoq.storage.documents.decoding import Unread
from mongoq.storage.documents.limiting.slots import UNLIMITED
from mongoq.storage.operations import candidates, sweep
from mongoq.storage.operations.decide import Ended
from mongoq.storage.operations.finish import finish
from mongoq.storage.operations.limits import granting, holding
from mongoq.storage.operations.limits.writing import Claiming
from mongoq.storage.operations.namespace.orders import admitted
from mongoq.storage.operations.recovery.lost_replies import catch_up, held_under, holders, lost_claim
from mongoq.storage.operations.recovery.malformed import update_well_formed, well_formed
from mongoq.storage.operations.recovery.skip_locked import PROBE, WRITE_LIMIT, PartialWrite

ONE_LIMIT: Final = timedelta(milliseconds=300)
"""Time limit of a claim in one step; after it the claim skips locked tasks."""
MOST_UNFIT: Final = 100


class Claim(NamedTuple):
    """What a claim got."""

    unread: list[Unread]
    """The tasks now held, the most urgent first."""
    more: bool
    """Whether as many were found as asked for, so that more may be ready."""
    lost: int
    """How many of the tasks found went to another claimant, of another name."""
    found: int = 0
    """How many tasks were found."""
    doubtful: bool = False
    """Whether replies were lost, so that more tasks may be held than are listed."""
    skipped: bool = False
    """Whether the claim left out the tasks at the head, as `skip` asked."""
    blocked: Sequence[str] = ()
    """The keys of the tasks that an open transaction holds, or that take no write."""
    parked: int = 0
    """How many were found that a limit has no room for."""
    refusal: StorageRefused | None = None
    """Why the server takes no write to one of these."""
    left: int = 0
    """How many tasks under limits were left alone, because this process has slots enough."""

    @property
    def tasks(self) -> list[Task]:
        """Decode the tasks of `unread`."""
        return [claimed.read() for claimed in self.unread]


def claim_one(context: Context, wanted: ClaimRequest, *, token: str | None = None) -> Op[Task | None]:
    """Lease the most urgent ready task in one round trip; None when nothing is ready."""
    claimed = (yield from claim_first(context, wanted, token=token)).tasks
    return claimed[0] if claimed else None


def claim_first(context: Context, wanted: ClaimRequest, *, token: str | None = None) -> Op[Claim]:
    """As `claim_one`, for an idle worker, which goes on with batches."""
    gate = context.gate
    if len(wanted.parts) > 1 or gate.limits or gate.pauses or context.options.fairness:  # one step heeds none of these
        return (yield from _claim_skipping_locked(context, replace(wanted, limit=1), token, PROBE))
    for _ in range(MOST_UNFIT):
        now = context.clock.latest()
        held = token or new_token()
        try:
            document = yield from _take_first(context, wanted, held, now)
        except StorageError as error:
            if not isinstance(error, StorageRefused) and error.code != TIME_IS_UP:
                raise
            # A malformed or locked task is at the head. A batch of one sets it aside or skips it.
            return (yield from _claim_skipping_locked(context, replace(wanted, limit=1), held, PROBE))
        if document is None:
            return Claim([], more=False, lost=0)
        if not (yield from _fit(context, document, now)):
            continue
        own = wanted.lease or candidates.lease_of(context, document)
        if own != (wanted.lease or context.options.policy.lease):
            update = updates.shortened(now, own)
            where = filters.held_until([document[fields.KEY]], [held], hold.until(document))
            yield from update_many(context.tasks, where, update)
            hold.shorten(document, now + own)
        return Claim([Unread(document, context.namespace, now)], more=True, lost=0)
    return Claim([], more=True, lost=0)


def try_claim(context: Context, wanted: ClaimRequest, *, token: str | None = None) -> Op[Task | None]:
    """Claim one task; when none is ready, promote and rescue first, then claim again."""
    claimed = (yield from sweep.sweeping(context, lambda: claim_first(context, wanted, token=token))).tasks
    return claimed[0] if claimed else None


def claim_batch(context: Context, wanted: ClaimRequest, *, token: str | None = None) -> Op[list[Task]]:
    """Claim a batch by hand; it is empty only when no task is ready, due, or to be rescued."""
    return (yield from sweep.sweeping(context, lambda: _claim_skipping_locked(context, wanted, token))).tasks


def claim_many(
    context: Context,
    wanted: ClaimRequest,
    *,
    poison_budget: int,
    token: str | None = None,
    skip: int = 0,
    at_head: bool = True,
    skip_keys: Collection[str] = (),
    time_limit: timedelta = WRITE_LIMIT,
    mixture: candidates.Mixture | None = None,
    look_at: int = 0,
) -> Op[Claim]:
    """Lease up to `wanted.limit` of the most urgent ready tasks, with suspects up to a weight of `poison_budget`.

    It holds fewer than it found when another was faster, or the server stopped answering. `recover` finds the rest.

    `skip` leaves out that many tasks at the head, if they and the whole batch have one priority; otherwise the claim
    is made at the head, or with `at_head=False` not at all. `skip_keys` are tasks to leave alone, because an earlier
    claim found them blocked. `time_limit` is for each update, before it skips locked tasks. `mixture` says how to
    find the tasks of many names. `look_at` is how many tasks to look at, where limits may have no room for the first.
    """
    most, wanted = wanted.limit, replace(wanted, limit=max(wanted.limit, look_at))
    found = (yield from candidates.behind(context, wanted, skip, mixture)) if skip else []
    skipped = more = bool(found)
    if not skipped and at_head:
        found, more = yield from candidates.at_head(context, wanted, poison_budget, skip_keys, mixture)
    elif skip_keys:
        found = [document for document in found if document[fields.KEY] not in skip_keys]
    now = context.clock.latest()
    fresh, over = candidates.by_age(found, now.replace(tzinfo=None))
    if over:
        yield from sweep.close_expired(context, over, now)
    fresh, held_back = yield from holding.admit(context, fresh)
    token = token or new_token()
    taken: dict[str, Document] = {}
    blocked: list[str] = []
    doubtful, shared, parked, left, refusal = False, 0, 0, 0, None
    plain = fresh
    if any(map(granting.is_limited, fresh)):
        how = partial(Claiming, wanted, token, now, time_limit)
        fresh, plain, taken, blocked, doubtful, parked, left = yield from granting.divide(context, fresh, how(most))
    elif look_at:
        plain = fresh = fresh[:most]
    for (version, lease), group in candidates.groups(context, plain, wanted.lease).items():
        try:
            update = updates.claimed(now, token, wanted.claimant, lease)
            held, written, same_worker = yield from _take(context, group, version, update, time_limit)
            taken |= held
            shared += same_worker
            blocked += written.skipped
            doubtful |= written.doubtful
            refusal = refusal or written.refusal
        except StorageError:
            if not taken:
                raise
            doubtful = True
            break
    keys = [document[fields.KEY] for document in fresh]
    unread = [Unread(taken[key], context.namespace, now) for key in keys if key in taken]
    parked += held_back
    lost = max(0, len(fresh) - len(unread) - len(blocked) - shared)
    return Claim(unread, more or bool(blocked), lost, len(fresh), doubtful, skipped, blocked, parked, refusal, left)


def new_token() -> str:
    """Make the token of one claim: random, because after a failover rolled a claim back a counter would repeat."""
    return secrets.token_hex(16)


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


def _claim_skipping_locked(
    context: Context, wanted: ClaimRequest, token: str | None = None, time_limit: timedelta = WRITE_LIMIT
) -> Op[Claim]:
    """Claim a batch; when all of it is blocked, claim the batch behind it."""
    skip_keys: set[str] = set()
    look_at, parked = 0, 0
    doubtful, refusal, claim = False, None, Claim([], more=True, lost=0)
    for _ in range(MOST_UNFIT):
        claim = yield from claim_many(
            context, wanted, poison_budget=MOST_POISON_WEIGHT, token=token, skip_keys=skip_keys, time_limit=time_limit,
            look_at=look_at,
        )  # fmt: skip
        skip_keys.update(claim.blocked)
        doubtful |= claim.doubtful
        refusal = refusal or claim.refusal
        parked += claim.parked
        look_at = granting.further(look_at, wanted.limit, claim)
        if claim.unread or not (claim.more or claim.lost or claim.parked):
            break
    return claim._replace(doubtful=doubtful, blocked=[*skip_keys], refusal=refusal, parked=parked)


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


def _take(
    context: Context, group: list[Document], version: int, update: Update, time_limit: timedelta
) -> Op[tuple[dict[str, Document], PartialWrite, int]]:
    """Claim a group; the tasks now held by key, what the write reached, and how many others of its name took."""
    by_key = {document[fields.KEY]: document for document in group}
    token, worker, *_ = hold.read(update["$set"])
    claimable = partial(filters.claimable, version=version)
    written = yield from update_well_formed(context, list(by_key), claimable, update, time_limit)
    same_worker = 0
    if written.updated < len(group) or written.doubtful:
        if written.doubtful:
            yield from catch_up(context, token)
        found = yield from holders(context, list(by_key), majority=written.doubtful)
        held = held_under(token, found)
        others = sum(hold.worker(row) != worker for row in found)
        # A missing task was probably finished by this process; one of another worker would still be running.
        same_worker = max(0, len(group) - len(held) - others)
        by_key = {row[fields.KEY]: by_key[row[fields.KEY]] for row in held}
    for document in by_key.values():
        document.update(update["$set"])
        for name, growth in update["$inc"].items():
            document[name] = document.get(name, 0) + growth
    return by_key, written, same_worker
