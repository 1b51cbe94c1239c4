"""Insert tasks that have parents, or are members of batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mongoq.storage.commands import Document, Op
from mongoq.storage.context import Context
from mongoq.storage.documents import fields
from mongoq.storage.documents.drafting import Draft, Others
from mongoq.storage.operations.flow import batches, calling
from mongoq.storage.operations.flow.check import check, refuse_cycles

Insert = Callable[[], Op[Others]]


def inserting(
    context: Context,
    drafts: Sequence[Draft],
    insert: Insert,
    *,
    without: Mapping[int, Any] | None = None,
    within: bool = False,
) -> Op[Others]:
    """Insert these drafts by `insert`: between a look at their batches before, and at those and their parents after.

    `without` are the places that are not inserted. `within` says that this is in a transaction.
    """
    chosen = [one for place, one in enumerate(drafts) if place not in (without or {})]
    await_all = list(map(_document, chosen))
    yield from prepare(context, await_all, within=within)
    others = yield from insert()
    done = [one for place, one in enumerate(await_all) if without or place not in others]
    yield from looked_after(context, done, within=within)
    return others


def prepare(context: Context, documents: Sequence[Document], *, within: bool) -> Op[None]:
    """Refuse what would wait for itself, and members of batches that take none."""
    children = [one for one in documents if fields.PARENTS in one]
    if children:
        yield from refuse_cycles(context, children)
    yield from batches.admit(context, _batches(documents), within=within)


def looked_after(context: Context, documents: Sequence[Document], *, within: bool) -> Op[None]:
    """Look at the parents and the batches of documents that were just inserted."""
    members = [one for one in documents if fields.BATCH in one]
    if members and not within:
        yield from batches.confirm(context, _batches(members), [one[fields.KEY] for one in members])
    children = [one for one in documents if fields.AFTER in one]
    if children:
        touched = yield from check(context, children, within=within)
        yield from calling.look(context, sorted(touched), within=within)


def _batches(documents: Sequence[Document]) -> list[str]:
    return [one[fields.BATCH] for one in documents if fields.BATCH in one]


def _document(one: Draft) -> Document:
    return {fields.KEY: one.key, **{name: one.model[name] for name in _READ if name in one.model}}


_READ = (fields.PARENTS, fields.AFTER, fields.BATCH)
