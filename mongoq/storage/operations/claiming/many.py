"""Claim a batch of tasks: find it, leave out what may not run, and take the rest by one guarded update."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final, NamedTuple

from mongoq.core.errors import StorageError, StorageRefused
from mongoq.core.judging.verdict import MOST_POISON_WEIGHT
from mongoq.core.requests import ClaimRequest
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import Document, Op, Update
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters, hold, updates
from mongoq.storage.documents.unread import Unread
from mongoq.storage.operations import sweep
from mongoq.storage.operations.claiming import candidates
from mongoq.storage.operations.claiming.claim import Claim, new_token
from mongoq.storage.operations.claiming.mixture import Mixture
from mongoq.storage.operations.limits import granting, holding
from mongoq.storage.operations.limits.writing import Claiming
from mongoq.storage.operations.recovery.lost_replies import catch_up, held_under, holders
from mongoq.storage.operations.recovery.malformed import update_well_formed
from mongoq.storage.operations.recovery.skip_locked import WRITE_LIMIT, PartialWrite

MOST_UNFIT: Final = 100
"""So many batches that cannot run are passed over by one claim."""


class _Taken(NamedTuple):
    """What the updates of a claim got."""

    held: dict[str, Document]
    """The tasks now held, by key."""
    blocked: list[str]
    same_worker: int
    """How many another claim of this worker took."""
    doubtful: bool
    refusal: StorageRefused | None


def claim_batch(context: Context, wanted: ClaimRequest, *, token: str | None = None) -> Op[list[Task]]:
    """Claim a batch by hand; it is empty only when no task is ready, due, or to be rescued."""
    return (yield from sweep.sweeping(context, lambda: skipping_locked(context, wanted, token))).tasks


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
    mixture: Mixture | None = None,
    look_at: int = 0,
) -> Op[Claim]:
    """Lease up to `wanted.limit` of the most urgent ready tasks, with suspects up to a weight of `poison_budget`.

    It holds fewer than it found when another was faster, or the server stopped answering. `recover` finds the rest.

    `skip` leaves out that many tasks at the head, if they and the batch have one priority; otherwise the claim is made
    at the head. With `at_head=False` the batch is a whole one, or none is claimed. `skip_keys` are tasks to leave
    alone, because an earlier claim found them blocked. `time_limit` is for each update, before it skips locked tasks.
    `mixture` says how to find the tasks of many names. `look_at` is how many tasks to look at, where limits may have no
    room for the first.
    """
    most, wanted = wanted.limit, replace(wanted, limit=max(wanted.limit, look_at))
    found = (yield from candidates.behind(context, wanted, skip, mixture, whole=not at_head)) if skip else []
    skipped = more = bool(found)
    if not skipped and at_head:
        found, more = yield from candidates.at_head(context, wanted, poison_budget, skip_keys, mixture)
    elif skip_keys:
        found = [document for document in found if document[fields.KEY] not in skip_keys]
    how = Claiming(wanted, token or new_token(), context.clock.latest(), time_limit, most)
    fresh, held_back = yield from _runnable(context, found, how.now)
    shares = granting.Shares(fresh[:most], fresh[:most])
    if any(map(granting.is_limited, fresh)):
        shares = yield from granting.divide(context, fresh, how)
    taken = yield from _take_all(context, shares, how)
    keys = [document[fields.KEY] for document in shares.fresh]
    unread = [Unread(taken.held[key], context.namespace, how.now) for key in keys if key in taken.held]
    lost = max(0, len(keys) - len(unread) - len(taken.blocked) - taken.same_worker)
    return Claim(
        unread, more or bool(taken.blocked), lost, len(keys), taken.doubtful, skipped, taken.blocked,
        shares.parked + held_back, taken.refusal, shares.left,
    )  # fmt: skip


def skipping_locked(
    context: Context, wanted: ClaimRequest, token: str | None = None, time_limit: timedelta = WRITE_LIMIT
) -> Op[Claim]:
    """Claim a batch by hand; when all of it is blocked, claim the batch behind it."""
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


def _runnable(context: Context, found: list[Document], now: datetime) -> Op[tuple[list[Document], int]]:
    """Those of these tasks that may run, after the expired are closed; and how many are held back by a pause."""
    fresh, over = candidates.by_age(found, now.replace(tzinfo=None))
    if over:
        yield from sweep.close_expired(context, over, now)
    return (yield from holding.admit(context, fresh))


def _take_all(context: Context, shares: granting.Shares, how: Claiming) -> Op[_Taken]:
    """Claim the tasks without limits, beside those with limits that are held already."""
    held, blocked, doubtful = dict(shares.taken), list(shares.blocked), shares.doubtful
    same_worker, refusal = 0, None
    for (version, lease), group in candidates.groups(context, shares.plain, how.wanted.lease).items():
        try:
            update = updates.claimed(how.now, how.token, how.wanted.claimant, lease)
            own, written, others = yield from _take(context, group, version, update, how.time_limit)
        except StorageError:
            if not held:
                raise
            doubtful = True
            break
        held |= own
        same_worker += others
        blocked += written.skipped
        doubtful |= written.doubtful
        refusal = refusal or written.refusal
    return _Taken(held, blocked, same_worker, doubtful, refusal)


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
