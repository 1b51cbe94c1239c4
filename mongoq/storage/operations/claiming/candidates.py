"""Candidates of a claim: found through the claim index, the most urgent first, and checked before they are taken."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from mongoq.core.clock import elapsed
from mongoq.core.judging.verdict import poison_weight
from mongoq.core.requests import ClaimRequest
from mongoq.storage.commands import Document, Op, find, nothing
from mongoq.storage.context import Context
from mongoq.storage.documents import decoding, fields, filters, indexes
from mongoq.storage.documents.foreign.well_formed import malformed_field
from mongoq.storage.operations.claiming.mixture import Mixture
from mongoq.storage.operations.fairness.mixing import mixed
from mongoq.storage.operations.namespace.orders import admitted
from mongoq.storage.operations.recovery.malformed import well_formed

FIND_LIMIT: Final = timedelta(seconds=10)


def at_head(
    context: Context,
    wanted: ClaimRequest,
    poison_budget: int,
    skip_keys: Collection[str],
    mixture: Mixture | None = None,
) -> Op[tuple[list[Document], bool]]:
    """Find the most urgent ready tasks outside `skip_keys`; suspects beyond the budget are replaced by later tasks.

    The second value says whether as many were found as asked for.
    """
    limit = wanted.limit + len(skip_keys)
    found = yield from _by_urgency(context, wanted, limit, mixture=mixture)
    more = len(found) >= limit
    found = yield from mixed(context, wanted, found, limit, skip_keys)
    found = _left(wanted, _once((yield from well_formed(context, found))), skip_keys)
    suspects = [document for document in found if document.get(fields.LOST_LEASES)]
    chosen = _within(suspects, poison_budget)
    if len(chosen) == len(suspects):
        return found, more
    # Find a whole batch without suspects, then keep the most urgent of both: a task that became ready since the first
    # look may push out a suspect. Filling up only the free places claimed a suspect of priority 0 before a task of 1.
    others = yield from _by_urgency(context, wanted, limit, unlost=True)
    chosen = _once([*chosen, *_left(wanted, (yield from well_formed(context, others)), skip_keys)])
    chosen.sort(key=_urgency)
    return chosen[: wanted.limit], len(chosen) >= wanted.limit


def behind(
    context: Context, wanted: ClaimRequest, skip: int, mixture: Mixture | None = None, *, whole: bool = True
) -> Op[list[Document]]:
    """Find a batch behind the first `skip` tasks, for the look-ahead claimer, and where many claim at once.

    It is empty when a skipped task has a higher priority, or when the batch holds a suspect or a malformed document;
    and where the names take several finds, which have no common place to skip to. With `whole` it is also empty
    where the queue ends within it.
    """
    if len(wanted.parts) > 1:
        return []
    found = yield from _by_urgency(context, wanted, wanted.limit, skip=skip, mixture=mixture)
    least = wanted.limit if whole else 1
    if len(found) < least or any(d.get(fields.LOST_LEASES) or malformed_field(d) for d in found):
        return []
    # The head is read after the batch: no skipped task that is still ready is more urgent than it.
    where = admitted(context, wanted.queues, wanted.where, wanted.names, least=wanted.least, due_by=wanted.due_by)
    if where is None:
        return []
    head = yield from find(
        context.tasks, where, only=[fields.PRIORITY], sort=indexes.URGENCY, hint=hint_of(wanted.names), limit=1
    )
    priorities = {document.get(fields.PRIORITY) for document in (*head, *found)}
    if context.options.fairness is not None and len(priorities) == 1:
        context.turns.owe(len(found), context.options.fairness.share)
    return _once(found) if len(priorities) == 1 else []


def by_age(found: Iterable[Document], now: datetime) -> tuple[list[Document], list[Document]]:
    """Split tasks into those that may run and those that have expired; `now` is naive UTC, as the documents are."""
    fresh: list[Document] = []
    over: list[Document] = []
    for document in found:
        expires_at = document.get(fields.EXPIRES_AT)
        (over if expires_at is not None and expires_at <= now else fresh).append(document)
    return fresh, over


def groups(
    context: Context, found: Iterable[Document], lease: timedelta | None
) -> dict[tuple[int, timedelta], list[Document]]:
    """Group tasks that one update can claim: nearly all share a version and a lease."""
    together: dict[tuple[int, timedelta], list[Document]] = defaultdict(list)
    usual = lease or context.options.policy.lease
    for document in found:
        length = usual if lease or fields.POLICY not in document else lease_of(context, document)
        together[document[fields.VERSION], length].append(document)
    return together


def lease_of(context: Context, document: Document) -> timedelta:
    """The length of the lease that a claim of this task gets."""
    policy = context.options.policy
    carried = document.get(fields.POLICY)
    own = isinstance(carried, dict) and "lease" in carried
    return policy.over(decoding.policy_from(carried)).lease if own else policy.lease


def _once(found: Iterable[Document]) -> list[Document]:
    """Keep each task once, as it was read last.

    A task is found twice if it moves in the index during the read, or if another worker took and released it between
    two reads. Listed twice it would run twice, once without a valid token.
    """
    return list({document[fields.KEY]: document for document in found}.values())


def _left(wanted: ClaimRequest, found: list[Document], skip_keys: Collection[str]) -> list[Document]:
    if skip_keys:
        found = [document for document in found if document[fields.KEY] not in skip_keys]
    return found[: wanted.limit]


def _within(suspects: list[Document], room: int) -> list[Document]:
    """Choose suspects, the most urgent first, up to a poison weight of `room`."""
    chosen = []
    for document in suspects:
        weight = poison_weight(document[fields.LOST_LEASES])
        if weight <= room:
            room -= weight
            chosen.append(document)
    return chosen


def hint_of(names: Sequence[str]) -> str:
    """The index that serves a claim."""
    return indexes.CLAIM_NAME if names else indexes.CLAIM


def _urgency(document: Document) -> tuple[Any, ...]:
    return (-document[fields.PRIORITY], document[fields.RUN_AT], str(document[fields.KEY]))


def _by_urgency(
    context: Context,
    wanted: ClaimRequest,
    limit: int,
    *,
    skip: int = 0,
    unlost: bool = False,
    mixture: Mixture | None = None,
) -> Op[list[Document]]:
    """Find the most urgent ready tasks; of many names in several finds, whose best are taken."""
    if mixture is not None and mixture.among_all(elapsed()):
        found = yield from _find(context, wanted, (), limit, skip=skip, unlost=unlost)
        own = [document for document in found if document.get(fields.NAME) in mixture.names]
        if mixture.note(len(found), len(own), limit, elapsed()):
            return own
    parts = wanted.parts
    if len(parts) == 1:
        found = yield from _find(context, wanted, parts[0], limit, skip=skip, unlost=unlost)
    else:
        found = []
        for names in parts:
            found += yield from _find(context, wanted, names, limit, skip=skip, unlost=unlost)
        odd = [document for document in found if malformed_field(document) is not None]
        found = odd + sorted((one for one in found if malformed_field(one) is None), key=_urgency)[:limit]
    if mixture is not None:
        mixture.found(len(found), limit)
    return found


def _find(
    context: Context, wanted: ClaimRequest, names: Sequence[str], limit: int, *, skip: int, unlost: bool
) -> Op[list[Document]]:
    where = admitted(context, wanted.queues, wanted.where, names, least=wanted.least, due_by=wanted.due_by)
    if where is None:
        return nothing([])
    return find(
        context.tasks,
        where | (filters.unlost() if unlost else {}),
        sort=indexes.URGENCY,
        hint=hint_of(names),
        limit=limit,
        skip=skip,
        server_limit=FIND_LIMIT,
        naive=True,
    )
