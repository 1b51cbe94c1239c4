"""Taking tasks: the most urgent first, each by exactly one claimant, under a fresh random token.

A batch is found by the claim index, then taken by one guarded update; only where some went to another
claimant is it read again. What was found becomes the task: the update's effect is known, so the documents
need not be read a second time.

The token is random, not a counter: a fail-over can roll a claim back, and the next one would count the same.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from mongoq.errors import StorageError, StorageUnavailable
from mongoq.lifecycle import Event, TaskState
from mongoq.model import Task
from mongoq.storage import documents, filters, indexes, updates, upkeep
from mongoq.storage.commands import Command, Document, Filter, Op, Update, find, find_one, update_many
from mongoq.storage.context import Context
from mongoq.storage.documents import Unread
from mongoq.storage.finishing import Ended, finish
from mongoq.verdict import Verdict
from mongoq.verdict import suspicion as suspicion_of

CLAIM_LIMIT_MS: Final = 10_000
"""A claim that waits longer for somebody's open transaction gives up and tries again."""
MOST_EXPIRED: Final = 100


class Claim(NamedTuple):
    """What a claim brought."""

    unread: list[Unread]
    """Those now held, the most urgent first."""
    more: bool
    """Whether as many were found as asked for, so that more may be ready."""
    lost: int
    """How many of those found went to another claimant."""
    doubtful: bool = False
    """Whether the server stopped answering in the middle."""

    @property
    def tasks(self) -> list[Task]:
        """The same, read."""
        return [claimed.read() for claimed in self.unread]


def claim_one(context: Context, queues: Sequence[str], worker: str) -> Op[Task | None]:
    """Lease the most urgent ready task of `queues`, in one atomic step; None where nothing is ready."""
    for _ in range(MOST_EXPIRED):
        now = context.clock.now()
        token = new_token()
        document = yield from _take_first(context, queues, token, worker, now)
        if document is None:
            return None
        task = documents.task_from(document, context.namespace, now)
        if task.expires_at is not None and task.expires_at <= now:
            keep = context.options.policy.over(task.policy).keep_failed
            verdict = Verdict(Event.EXPIRE, charged=False, keep=keep)
            yield from finish(context, [Ended(task, verdict)])
            yield from upkeep.expire(context)
            continue
        lease = context.options.policy.over(task.policy).lease
        if lease != context.options.policy.lease:
            yield from update_many(context.tasks, filters.held([task.key], [token]), updates.renewed(now, lease))
            task = replace(task, lease_until=now + lease)
        return task
    return None


def try_claim(context: Context, queues: Sequence[str], worker: str) -> Op[Task | None]:
    """As `claim_one`, and before it says that there is nothing it makes ready what is due or lost."""
    task = yield from claim_one(context, queues, worker)
    if task is None and (yield from upkeep.sweep(context)):
        task = yield from claim_one(context, queues, worker)
    return task


def claim_many(
    context: Context, queues: Sequence[str], limit: int, worker: str, *, suspicion: int, token: str | None = None
) -> Op[Claim]:
    """Lease up to `limit` of the most urgent ready tasks of `queues`, suspects only up to a weight of `suspicion`.

    Fewer than found are held where another claimant was faster, or where the server stopped answering in the
    middle: what was not confirmed by then is found again by its token (`recover`), or runs out its lease and is
    refunded.
    """
    found = yield from _candidates(context, queues, limit, suspicion)
    now = context.clock.now()
    more = len(found) >= limit
    found = yield from _sound(context, found, now)
    fresh, over = _by_age(found, now.replace(tzinfo=None))
    if over:
        yield from upkeep.close_expired(context, over, now)
    token = token or new_token()
    taken: dict[str, Document] = {}
    doubtful = False
    for (version, lease), group in _groups(context, fresh).items():
        try:
            taken |= yield from _take(context, group, version, updates.claimed(now, token, worker, lease), token)
        except StorageError:
            if not taken:
                raise
            doubtful = True
            break
    held = [Unread(document, context.namespace, now) for document in fresh if document[documents.KEY] in taken]
    return Claim(held, more, len(fresh) - len(held), doubtful)


def new_token() -> str:
    """A token for one claim."""
    return secrets.token_hex(16)


def recover(context: Context, tokens: Sequence[str]) -> Op[list[Unread]]:
    """The tasks held under these tokens, by the word of a majority: for claims whose replies were lost."""
    where = {**filters.first_running(), documents.TOKEN: {"$in": list(tokens)}}
    found = yield from find(context.tasks, where, hint=indexes.LEASE, majority=True)
    now = context.clock.now()
    return [Unread(document, context.namespace, now) for document in found]


def _take_first(context: Context, queues: Sequence[str], token: str, worker: str, now: datetime) -> Op[Document | None]:
    update = updates.claimed(now, token, worker, context.options.policy.lease)
    options = {
        "sort": indexes.URGENCY,
        "hint": indexes.CLAIM,
        "return_document": True,
        "maxTimeMS": CLAIM_LIMIT_MS,
    }
    try:
        document: Document | None = yield Command(
            context.tasks, "find_one_and_update", (filters.ready(queues), update), options
        )
    except StorageUnavailable as error:
        if not error.ambiguous:
            raise
        # The reply was lost, twice: only a look by the token tells whether the claim was made.
        where = {documents.STATE: TaskState.RUNNING.value, documents.TOKEN: token}
        document = yield from find_one(context.tasks, where, hint=indexes.LEASE, majority=True)
    return document


def _candidates(context: Context, queues: Sequence[str], limit: int, suspicion: int) -> Op[list[Document]]:
    """The most urgent ready tasks; where too many are suspects, others are looked for behind them."""
    found = yield from _by_urgency(context, filters.ready(queues), limit)
    suspects = [document for document in found if document.get(documents.SUSPECT)]
    chosen = _within(suspects, suspicion)
    if len(chosen) == len(suspects):
        return found
    if limit > len(chosen):
        chosen += yield from _by_urgency(context, filters.ready_unsuspected(queues), limit - len(chosen))
    return sorted(chosen, key=lambda d: (-d[documents.PRIORITY], d[documents.RUN_AT], d[documents.KEY]))


def _within(suspects: list[Document], room: int) -> list[Document]:
    """As many of these suspects, the most urgent first, as there is room for."""
    chosen = []
    for document in suspects:
        weight = suspicion_of(document[documents.SUSPECT])
        if weight <= room:
            room -= weight
            chosen.append(document)
    return chosen


def _sound(context: Context, found: list[Document], now: datetime) -> Op[list[Document]]:
    """Those that are tasks; the others end as failed here, or they would stand at the head for ever."""
    sound = []
    for document in found:
        fault = documents.fault_of(document)
        if fault is None:
            sound.append(document)
        else:
            where = {**filters.by_keys([document[documents.KEY]]), documents.STATE: document[documents.STATE]}
            update = updates.quarantined(fault, now, context.options.policy.keep_failed)
            yield from update_many(context.tasks, where, update)
    return sound


def _by_urgency(context: Context, where: Filter, limit: int) -> Op[list[Document]]:
    return find(
        context.tasks,
        where,
        sort=indexes.URGENCY,
        hint=indexes.CLAIM,
        limit=limit,
        max_time_ms=CLAIM_LIMIT_MS,
        naive=True,
    )


def _by_age(found: list[Document], now: datetime) -> tuple[list[Document], list[Document]]:
    """Those that may run, and those that expired before; `now` without a zone, as they are."""
    fresh: list[Document] = []
    over: list[Document] = []
    for document in found:
        expires_at = document.get(documents.EXPIRES_AT)
        (over if expires_at is not None and expires_at <= now else fresh).append(document)
    return fresh, over


def _groups(context: Context, found: list[Document]) -> dict[tuple[int, timedelta], list[Document]]:
    """What one update can take together: nearly all share a version and a lease."""
    policy = context.options.policy
    groups: dict[tuple[int, timedelta], list[Document]] = defaultdict(list)
    for document in found:
        carried = document.get(documents.POLICY)
        own = isinstance(carried, dict) and "lease" in carried
        lease = policy.over(documents.policy_from(carried)).lease if own else policy.lease
        groups[document[documents.VERSION], lease].append(document)
    return groups


def _take(context: Context, group: list[Document], version: int, update: Update, token: str) -> Op[dict[str, Document]]:
    """Claim a group; those that are held now, by key, with the claim's effect applied."""
    by_key = {document[documents.KEY]: document for document in group}
    ambiguous = False
    matched = 0
    try:
        matched = yield from update_many(context.tasks, filters.claimable(list(by_key), version), update)
    except StorageUnavailable as error:
        if not error.ambiguous:
            raise
        ambiguous = True
    if matched < len(group):
        mine = filters.held(list(by_key), [token])
        held = yield from find(context.tasks, mine, only=[documents.KEY], hint="_id_", majority=ambiguous)
        by_key = {document[documents.KEY]: by_key[document[documents.KEY]] for document in held}
    for document in by_key.values():
        document.update(update["$set"])
        for name, growth in update["$inc"].items():
            document[name] = document.get(name, 0) + growth
    return by_key
