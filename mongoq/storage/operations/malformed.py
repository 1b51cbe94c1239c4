"""Documents that are no tasks (a foreign producer's): set aside where they are met, so that they stop nobody.

The server refuses a whole update where one document cannot take it: a version that is no number, a count of 64 full
bits, a document with no room for a byte more. Which one it is, is found by halves.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from mongoq.core.errors import StorageRefused
from mongoq.storage.commands import Document, Op, Update, find_one, update_many
from mongoq.storage.context import Context
from mongoq.storage.documents import decoding, fields, filters, updates
from mongoq.storage.operations.skip_locked import NOTHING, WRITE_LIMIT, Guard, PartialWrite, update_around

UNFIT: Final = (2, 14, 10334, 17419)
"""What the server answers when a count is no number or too large a one, or the document has no room left."""


def update_fit(
    context: Context,
    keys: Sequence[str],
    guard: Guard,
    update: Update,
    patience: timedelta = WRITE_LIMIT,
) -> Op[PartialWrite]:
    """Update as `update_around` does, and set aside what cannot take it."""
    try:
        return (yield from update_around(context.tasks, keys, guard, update, patience=patience))
    except StorageRefused as error:
        if error.code not in UNFIT:
            raise
    if len(keys) == 1:
        found = yield from find_one(context.tasks, guard(keys), only=[fields.STATE])
        if found is not None:
            yield from set_aside(context, found, fields.VERSION)
        return NOTHING
    half = len(keys) // 2
    first = yield from update_fit(context, keys[:half], guard, update, patience)
    second = yield from update_fit(context, keys[half:], guard, update, patience)
    return first.joined(second)


def sound(context: Context, found: list[Document]) -> Op[list[Document]]:
    """Those that are tasks; the others end as failed here, or they would stand at the head for ever."""
    fit = []
    for document in found:
        fault = decoding.fault_of(document)
        if fault is None:
            fit.append(document)
        else:
            yield from set_aside(context, document, fault)
    return fit


def set_aside(context: Context, document: Document, fault: str) -> Op[None]:
    """End a document that is no task, as it was found; without its content where it has no room for a word more."""
    where = {**filters.by_keys([document[fields.KEY]]), fields.STATE: document[fields.STATE]}
    now = context.clock.now()
    keep = context.options.policy.keep_failed
    try:
        yield from update_many(context.tasks, where, updates.quarantined(fault, now, keep))
    except StorageRefused as error:
        if error.code not in UNFIT:
            raise
        yield from update_many(context.tasks, where, updates.emptied(now, keep))
