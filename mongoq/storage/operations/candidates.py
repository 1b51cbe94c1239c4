"""What a claim may take: found by the claim index, the most urgent first, and looked at before it is taken."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Final

from mongoq.core.requests import ClaimRequest
from mongoq.core.verdict import poison_weight
from mongoq.storage.commands import Document, Filter, Op, find
from mongoq.storage.context import Context
from mongoq.storage.documents import decoding, fields, filters, indexes
from mongoq.storage.operations.malformed import sound

FIND_LIMIT: Final = timedelta(seconds=10)


def at_head(
    context: Context, wanted: ClaimRequest, poison_budget: int, avoid: Collection[str]
) -> Op[tuple[list[Document], bool]]:
    """The most urgent ready tasks but those to `avoid`; where too many are suspects, others from behind them.

    Also whether as many were found as asked for.
    """
    limit = wanted.limit + len(avoid)
    found = yield from _by_urgency(context, filters.ready(wanted.queues, wanted.where), limit)
    more = len(found) >= limit
    found = _left(wanted, _once((yield from sound(context, found))), avoid)
    suspects = [document for document in found if document.get(fields.LOST_LEASES)]
    chosen = _within(suspects, poison_budget)
    if len(chosen) == len(suspects):
        return found, more
    # As many as if there were no suspects: what has become ready since the first look pushes the least urgent out,
    # a suspect too. To fill up only what the suspects leave took a suspect of priority 0 before a task of 1.
    others = yield from _by_urgency(context, filters.ready_unlost(wanted.queues, wanted.where), limit)
    chosen = _once([*chosen, *_left(wanted, (yield from sound(context, others)), avoid)])
    chosen.sort(key=lambda d: (-d[fields.PRIORITY], d[fields.RUN_AT], str(d[fields.KEY])))
    return chosen[: wanted.limit], len(chosen) >= wanted.limit


def behind(context: Context, wanted: ClaimRequest, skip: int) -> Op[list[Document]]:
    """A whole batch behind the first `skip`; none where one of these is more urgent, or one is found at fault."""
    where = filters.ready(wanted.queues, wanted.where)
    found = yield from _by_urgency(context, where, wanted.limit, skip)
    if len(found) < wanted.limit or any(d.get(fields.LOST_LEASES) or decoding.fault_of(d) for d in found):
        return []
    # Read after the batch: what was skipped is no more urgent than the head was a moment later.
    head = yield from find(
        context.tasks, where, only=[fields.PRIORITY], sort=indexes.URGENCY, hint=indexes.CLAIM, limit=1
    )
    priorities = {document.get(fields.PRIORITY) for document in (*head, *found)}
    return _once(found) if len(priorities) == 1 else []


def by_age(found: Iterable[Document], now: datetime) -> tuple[list[Document], list[Document]]:
    """Those that may run, and those that expired before; `now` without a zone, as they are."""
    fresh: list[Document] = []
    over: list[Document] = []
    for document in found:
        expires_at = document.get(fields.EXPIRES_AT)
        (over if expires_at is not None and expires_at <= now else fresh).append(document)
    return fresh, over


def groups(
    context: Context, found: Iterable[Document], lease: timedelta | None
) -> dict[tuple[int, timedelta], list[Document]]:
    """What one update can take together: nearly all share a version and a lease."""
    together: dict[tuple[int, timedelta], list[Document]] = defaultdict(list)
    for document in found:
        together[document[fields.VERSION], lease or lease_of(context, document)].append(document)
    return together


def lease_of(context: Context, document: Document) -> timedelta:
    """How long a claim of this task lasts."""
    policy = context.options.policy
    carried = document.get(fields.POLICY)
    own = isinstance(carried, dict) and "lease" in carried
    return policy.over(decoding.policy_from(carried)).lease if own else policy.lease


def _once(found: Iterable[Document]) -> list[Document]:
    """Each task once, as it was read last.

    A task is found twice where it moves in the index while the server reads that, and where another took and
    released it between two looks: it is no suspect any more. Held twice it would run twice, once without a token.
    """
    return list({document[fields.KEY]: document for document in found}.values())


def _left(wanted: ClaimRequest, found: list[Document], avoid: Collection[str]) -> list[Document]:
    if avoid:
        found = [document for document in found if document[fields.KEY] not in avoid]
    return found[: wanted.limit]


def _within(suspects: list[Document], room: int) -> list[Document]:
    """As many of these suspects, the most urgent first, as there is room for."""
    chosen = []
    for document in suspects:
        weight = poison_weight(document[fields.LOST_LEASES])
        if weight <= room:
            room -= weight
            chosen.append(document)
    return chosen


def _by_urgency(context: Context, where: Filter, limit: int, skip: int = 0) -> Op[list[Document]]:
    return find(
        context.tasks,
        where,
        sort=indexes.URGENCY,
        hint=indexes.CLAIM,
        limit=limit,
        skip=skip,
        server_limit=FIND_LIMIT,
        naive=True,
    )
