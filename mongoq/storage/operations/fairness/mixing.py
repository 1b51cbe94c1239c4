"""Mix the oldest ready tasks into a batch of the most urgent ones.

Only a full batch is mixed: where a claim finds fewer tasks than it asks for it takes them all. The oldest are found by
an index of their own, which a namespace gets with the first queue object that has `fair_share` or `aging`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from mongoq.core.requests import ClaimRequest
from mongoq.storage.commands import Document, Op, find, nothing
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, indexes
from mongoq.storage.documents.foreign.well_formed import malformed_field
from mongoq.storage.operations.namespace.orders import admitted

FIND_LIMIT: Final = timedelta(seconds=10)


def mixed(
    context: Context, wanted: ClaimRequest, found: list[Document], limit: int, skip_keys: Collection[str] = ()
) -> Op[list[Document]]:
    """The tasks of a claim of so many: of those found, the most urgent first, and of the oldest what is due to them."""
    if context.options.fairness is None or len(found) < limit:
        return nothing(found)
    return _mixed(context, wanted, found, limit, skip_keys)


def _mixed(
    context: Context, wanted: ClaimRequest, found: list[Document], limit: int, skip_keys: Collection[str]
) -> Op[list[Document]]:
    fair = context.options.fairness
    assert fair is not None
    turns = context.turns.take(wanted.limit, fair.share) if fair.share else 0
    aged: list[Document] = []
    if fair.aging is not None:
        now = context.clock.now().replace(tzinfo=None)
        aged = yield from _oldest(context, wanted, limit, now - fair.aging)
        found = sorted(_once([*found, *aged]), key=lambda document: _rank(document, now, fair.aging))
    oldest = aged
    if turns and len(aged) < turns + len(skip_keys):
        oldest = yield from _oldest(context, wanted, turns + len(skip_keys))
    first = [document for document in oldest if document[fields.KEY] not in skip_keys][:turns]
    return _once([*first, *found])[:limit]


def _oldest(context: Context, wanted: ClaimRequest, limit: int, until: datetime | None = None) -> Op[list[Document]]:
    """Find the tasks that have been ready for longest, of those that were so by then."""
    found: list[Document] = []
    for names in wanted.parts:
        where = admitted(context, wanted.queues, wanted.where, names, due_by=wanted.due_by)
        if where is None:
            continue
        if until is not None:
            where = {"$and": [where, {fields.RUN_AT: {"$lte": until}}]} if wanted.due_by else where | _by(until)
        hint = indexes.AGE_NAME if names else indexes.AGE
        found += yield from find(
            context.tasks, where, sort=indexes.OLDEST, hint=hint, limit=limit, server_limit=FIND_LIMIT, naive=True
        )
    if len(wanted.parts) > 1:
        found.sort(key=lambda document: (malformed_field(document) is None, document.get(fields.RUN_AT)))
    return found[:limit]


def _by(until: datetime) -> Document:
    return {fields.RUN_AT: {"$lte": until}}


def _rank(document: Document, now: datetime, aging: timedelta | None) -> tuple[Any, ...]:
    """The order of claims with the levels gained by waiting; what is malformed comes first, to be set aside."""
    if aging is None or malformed_field(document) is not None:
        return (float("-inf"),)
    gained = max(0, (now - document[fields.RUN_AT]) // aging)
    return -(document[fields.PRIORITY] + gained), document[fields.RUN_AT], str(document[fields.KEY])


def _once(found: Sequence[Document]) -> list[Document]:
    return list({str(document[fields.KEY]): document for document in reversed(found)}.values())[::-1]
