"""Taking tasks: the most urgent first, each by exactly one claimant, under a fresh random token.

A batch is found by the claim index, then taken by one guarded update; only where some went to another
claimant is it read again. What was found becomes the task: the update's effect is known, so the documents
need not be read a second time.

The token is random, not a counter: a fail-over can roll a claim back, and the next one would count the same.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final, NamedTuple

from mongoq.core.errors import StorageError, StorageRefused, StorageUnavailable
from mongoq.core.lifecycle import Event, TaskState
from mongoq.core.requests import ClaimRequest
from mongoq.core.task import Task
from mongoq.core.verdict import MOST_POISON_WEIGHT, Verdict
from mongoq.storage.commands import TIME_IS_UP, Document, FindAndUpdate, Op, Update, find, find_one, update_many
from mongoq.storage.context import Context
from mongoq.storage.documents import decoding, fields, filters, indexes, updates
from mongoq.storage.documents.decoding import Unread
from mongoq.storage.operations import candidates, sweep
from mongoq.storage.operations.finish import Ended, finish
from mongoq.storage.operations.leases import catch_up
from mongoq.storage.operations.malformed import sound, update_fit
from mongoq.storage.operations.skip_locked import PROBE, WRITE_LIMIT, PartialWrite

ONE_LIMIT: Final = timedelta(milliseconds=300)
"""A claim in one step that waits longer for somebody's open transaction goes around it."""
MOST_UNFIT: Final = 100


class Claim(NamedTuple):
    """What a claim brought."""

    unread: list[Unread]
    """Those now held, the most urgent first."""
    more: bool
    """Whether as many were found as asked for, so that more may be ready."""
    lost: int
    """How many of those found went to another claimant, of another name."""
    found: int = 0
    """How many were found."""
    doubtful: bool = False
    """Whether replies were missing, so that more may be held than is known."""
    skipped: bool = False
    """Whether as many at the head were left out as was asked for."""
    blocked: Sequence[str] = ()
    """The keys of those that somebody's open transaction holds."""

    @property
    def tasks(self) -> list[Task]:
        """The same as `unread`, read."""
        return [claimed.read() for claimed in self.unread]


def claim_one(context: Context, wanted: ClaimRequest, *, token: str | None = None) -> Op[Task | None]:
    """Lease the most urgent ready task, in one atomic step; None where nothing is ready."""
    claim = yield from claim_first(context, wanted, token=token)
    return claim.tasks[0] if claim.unread else None


def claim_first(context: Context, wanted: ClaimRequest, *, token: str | None = None) -> Op[Claim]:
    """The same for who goes on with batches: one round trip, for what has just come to an idle process."""
    for _ in range(MOST_UNFIT):
        now = context.clock.now()
        held = token or new_token()
        try:
            document = yield from _take_first(context, wanted, held, now)
        except StorageError as error:
            if not isinstance(error, StorageRefused) and error.code != TIME_IS_UP:
                raise
            # What is no task, or is held by a transaction, stands at the head; a batch goes around it.
            return (yield from _claim_around(context, replace(wanted, limit=1), held, PROBE))
        if document is None:
            return Claim([], more=False, lost=0)
        if not (yield from _fit(context, document, now)):
            continue
        own = wanted.lease or candidates.lease_of(context, document)
        if own != (wanted.lease or context.options.policy.lease):
            update = updates.renewed(now, own)
            yield from update_many(context.tasks, filters.held([document[fields.KEY]], [held]), update)
            document.update(update["$set"])
        return Claim([Unread(document, context.namespace, now)], more=True, lost=0)
    return Claim([], more=True, lost=0)


def try_claim(context: Context, wanted: ClaimRequest, *, token: str | None = None) -> Op[Task | None]:
    """As `claim_one`, and before it says that there is nothing it makes ready what is due or lost."""
    claim = yield from _sweeping(context, lambda: claim_first(context, wanted, token=token))
    return claim.tasks[0] if claim.unread else None


def claim_batch(context: Context, wanted: ClaimRequest, *, token: str | None = None) -> Op[list[Task]]:
    """As `claim_many`, for one who claims by hand: none only where nothing is ready, due or lost."""
    return (yield from _sweeping(context, lambda: _claim_around(context, wanted, token))).tasks


def claim_many(
    context: Context,
    wanted: ClaimRequest,
    *,
    poison_budget: int,
    token: str | None = None,
    skip: int = 0,
    at_head: bool = True,
    avoid: Collection[str] = (),
    patience: timedelta = WRITE_LIMIT,
) -> Op[Claim]:
    """Lease up to `wanted.limit` of the most urgent ready tasks, suspects only up to a weight of `poison_budget`.

    Fewer than found are held where another claimant was faster, or where the server stopped answering in the
    middle: what was not confirmed by then is found again by its token (`recover`), or runs out its lease and is
    refunded.

    `skip` leaves out so many at the head, where all of them and the whole batch are of one priority; otherwise
    the claim is made at the head, or with `at_head` False not at all. `avoid` names tasks to leave alone, of
    which a claim said that they are blocked; `patience` is how long one may block.
    """
    found = (yield from candidates.behind(context, wanted, skip)) if skip else []
    skipped = more = bool(found)
    if not skipped and at_head:
        found, more = yield from candidates.at_head(context, wanted, poison_budget, avoid)
    elif avoid:
        found = [document for document in found if document[fields.KEY] not in avoid]
    now = context.clock.now()
    fresh, over = candidates.by_age(found, now.replace(tzinfo=None))
    if over:
        yield from sweep.close_expired(context, over, now)
    token = token or new_token()
    taken: dict[str, Document] = {}
    blocked: list[str] = []
    doubtful = False
    shared = 0
    for (version, lease), group in candidates.groups(context, fresh, wanted.lease).items():
        try:
            update = updates.claimed(now, token, wanted.claimant, lease)
            held, around, mates = yield from _take(context, group, version, update, patience)
            taken |= held
            shared += mates
            blocked += around.passed
            doubtful |= around.doubtful
        except StorageError:
            if not taken:
                raise
            doubtful = True
            break
    unread = [Unread(document, context.namespace, now) for document in fresh if document[fields.KEY] in taken]
    lost = max(0, len(fresh) - len(unread) - len(blocked) - shared)
    return Claim(unread, more or bool(blocked), lost, len(fresh), doubtful, skipped, blocked)


def new_token() -> str:
    """A token for one claim."""
    return secrets.token_hex(16)


def recover(context: Context, tokens: Sequence[str]) -> Op[list[Unread]]:
    """The tasks held under these tokens, by the word of a majority: for claims whose replies were lost."""
    yield from catch_up(context, tokens[0])
    where = {**filters.first_running(), fields.TOKEN: {"$in": list(tokens)}}
    found = yield from find(context.tasks, where, hint=indexes.LEASE, majority=True)
    now = context.clock.now()
    return [Unread(document, context.namespace, now) for document in found]


def _sweeping(context: Context, claim: Callable[[], Op[Claim]]) -> Op[Claim]:
    """What a claim brings; where that is nothing, sweep and claim again until all that was due has been swept.

    One sweep may move nothing but tasks of other queues. That more may be due is told by a full one: while others
    fall due one by one, each sweep would move some, and there would be no end.
    """
    claimed = yield from claim()
    more = True
    while more and not claimed.unread:
        moved, more = yield from sweep.sweep(context)
        if not moved:
            break
        claimed = yield from claim()
    return claimed


def _take_first(context: Context, wanted: ClaimRequest, token: str, now: datetime) -> Op[Document | None]:
    update = updates.claimed(now, token, wanted.claimant, wanted.lease or context.options.policy.lease)
    ready = filters.ready(wanted.queues, wanted.where)
    try:
        document: Document | None = yield FindAndUpdate(
            context.tasks, ready, update, sort=indexes.URGENCY, hint=indexes.CLAIM, server_limit=ONE_LIMIT
        )
    except StorageUnavailable as error:
        if not error.ambiguous or error.code == TIME_IS_UP:
            raise
        # The reply was lost, twice: only a look by the token tells whether the claim was made.
        yield from catch_up(context, token)
        where = {fields.STATE: TaskState.RUNNING.value, fields.TOKEN: token}
        document = yield from find_one(context.tasks, where, hint=indexes.LEASE, majority=True)
    return document


def _claim_around(
    context: Context, wanted: ClaimRequest, token: str | None = None, patience: timedelta = WRITE_LIMIT
) -> Op[Claim]:
    """Claim a batch behind all that are blocked."""
    avoid: set[str] = set()
    doubtful = False
    claim = Claim([], more=True, lost=0)
    for _ in range(MOST_UNFIT):
        claim = yield from claim_many(
            context, wanted, poison_budget=MOST_POISON_WEIGHT, token=token, avoid=avoid, patience=patience
        )
        avoid.update(claim.blocked)
        doubtful |= claim.doubtful
        if claim.unread or not (claim.more or claim.lost):
            break
    return claim._replace(doubtful=doubtful, blocked=[*avoid])


def _fit(context: Context, document: Document, now: datetime) -> Op[bool]:
    """Whether what was just taken may run: not what expired meanwhile, nor what is no task; both end here."""
    if not (yield from sound(context, [document])):
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
    context: Context, group: list[Document], version: int, update: Update, patience: timedelta
) -> Op[tuple[dict[str, Document], PartialWrite, int]]:
    """Claim a group; those that are held now, by key, with the claim's effect applied, and how many went to mates.

    Those claim under the same name: a worker's aide, the threads of one queue object.
    """
    by_key = {document[fields.KEY]: document for document in group}
    hold = update["$set"]
    around = yield from update_fit(context, list(by_key), partial(filters.claimable, version=version), update, patience)
    mates = 0
    if around.updated < len(group) or around.doubtful:
        if around.doubtful:
            yield from catch_up(context, hold[fields.TOKEN])
        found = yield from _holders(context, list(by_key), majority=around.doubtful)
        held = _held_under(hold[fields.TOKEN], found)
        others = sum(row.get(fields.WORKER) != hold[fields.WORKER] for row in found)
        # What is gone already has most likely gone through this process: a rival's is seen running, mostly.
        mates = max(0, len(group) - len(held) - others)
        by_key = {row[fields.KEY]: by_key[row[fields.KEY]] for row in held}
    for document in by_key.values():
        document.update(hold)
        for name, growth in update["$inc"].items():
            document[name] = document.get(name, 0) + growth
    return by_key, around, mates


def _holders(context: Context, keys: Sequence[str], *, majority: bool) -> Op[list[Document]]:
    """Read who holds these tasks now, and under which token."""
    only = [fields.KEY, fields.TOKEN, fields.WORKER]
    return find(context.tasks, filters.by_keys(keys), only=only, hint="_id_", majority=majority)


def _held_under(token: str, found: list[Document]) -> list[Document]:
    """Select the tasks that are held under this token."""
    return [document for document in found if document.get(fields.TOKEN) == token]
