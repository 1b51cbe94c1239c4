"""What a claim may take: found by the claim index, the most urgent first, and looked at before it is taken."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from mongoq.arguments import Wanted
from mongoq.storage import documents, filters, indexes, updates
from mongoq.storage.commands import Document, Filter, Op, find, update_many
from mongoq.storage.context import Context
from mongoq.verdict import suspicion as suspicion_of

FIND_LIMIT_MS: Final = 10_000


def at_head(context: Context, wanted: Wanted, limit: int, suspicion: int) -> Op[list[Document]]:
    """The most urgent ready tasks; where too many are suspects, others are looked for behind them."""
    found = yield from _by_urgency(context, filters.ready(wanted.queues, wanted.where), limit)
    suspects = [document for document in found if document.get(documents.SUSPECT)]
    chosen = _within(suspects, suspicion)
    if len(chosen) == len(suspects):
        return found
    if limit > len(chosen):
        others = filters.ready_unsuspected(wanted.queues, wanted.where)
        chosen += yield from _by_urgency(context, others, limit - len(chosen))
    return sorted(chosen, key=lambda d: (-d[documents.PRIORITY], d[documents.RUN_AT], d[documents.KEY]))


def behind(context: Context, wanted: Wanted, skip: int) -> Op[list[Document]]:
    """A whole batch behind the first `skip`; none where one of these is more urgent, or a suspect is found."""
    where = filters.ready(wanted.queues, wanted.where)
    found = yield from _by_urgency(context, where, wanted.limit, skip)
    if len(found) < wanted.limit or any(document.get(documents.SUSPECT) for document in found):
        return []
    # Read after the batch: what was skipped is no more urgent than the head was a moment later.
    head = yield from find(
        context.tasks, where, only=[documents.PRIORITY], sort=indexes.URGENCY, hint=indexes.CLAIM, limit=1
    )
    priorities = {document.get(documents.PRIORITY) for document in (*head, *found)}
    return found if len(priorities) == 1 else []


def sound(context: Context, found: list[Document], now: datetime) -> Op[list[Document]]:
    """Those that are tasks; the others end as failed here, or they would stand at the head for ever."""
    fit = []
    for document in found:
        fault = documents.fault_of(document)
        if fault is None:
            fit.append(document)
        else:
            where = {**filters.by_keys([document[documents.KEY]]), documents.STATE: document[documents.STATE]}
            update = updates.quarantined(fault, now, context.options.policy.keep_failed)
            yield from update_many(context.tasks, where, update)
    return fit


def by_age(found: Iterable[Document], now: datetime) -> tuple[list[Document], list[Document]]:
    """Those that may run, and those that expired before; `now` without a zone, as they are."""
    fresh: list[Document] = []
    over: list[Document] = []
    for document in found:
        expires_at = document.get(documents.EXPIRES_AT)
        (over if expires_at is not None and expires_at <= now else fresh).append(document)
    return fresh, over


def groups(
    context: Context, found: Iterable[Document], lease: timedelta | None
) -> dict[tuple[int, timedelta], list[Document]]:
    """What one update can take together: nearly all share a version and a lease."""
    together: dict[tuple[int, timedelta], list[Document]] = defaultdict(list)
    for document in found:
        together[document[documents.VERSION], lease or lease_of(context, document)].append(document)
    return together


def lease_of(context: Context, document: Document) -> timedelta:
    """How long a claim of this task lasts."""
    policy = context.options.policy
    carried = document.get(documents.POLICY)
    own = isinstance(carried, dict) and "lease" in carried
    return policy.over(documents.policy_from(carried)).lease if own else policy.lease


def _within(suspects: list[Document], room: int) -> list[Document]:
    """As many of these suspects, the most urgent first, as there is room for."""
    chosen = []
    for document in suspects:
        weight = suspicion_of(document[documents.SUSPECT])
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
        max_time_ms=FIND_LIMIT_MS,
        naive=True,
    )
