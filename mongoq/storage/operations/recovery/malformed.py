"""Malformed documents: written by other programs and unusable as tasks. They are set aside where they are met.

The server refuses a whole update when a single document cannot take it: its version is not a number, a count has used
up its 64 bits, or the document has no byte left to grow. The operation then finds that document by halving the batch.
Left in place, it would stop its queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from mongoq.core.errors import StorageRefused
from mongoq.core.lifecycle import TaskState
from mongoq.core.validation import shortened
from mongoq.storage.commands import Document, Op, Update, find_one, update_many
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters, hold, updates
from mongoq.storage.documents.foreign.unreadable import Unreadable
from mongoq.storage.documents.foreign.well_formed import malformed_field, unreadable_key
from mongoq.storage.operations.recovery.skip_locked import (
    NOTHING,
    WRITE_LIMIT,
    Guard,
    PartialWrite,
    update_skipping_locked,
)

PUT_OFF: Final = timedelta(seconds=10)
UNFIT: Final = (2, 14, 10334, 17419)
"""Error codes of the server for a count that is not a number or too large, and for a document without room."""

TAKES_NO_WRITE: Final = (121, 11000)
"""Error codes for a document that a validator, or a unique index of the user's own, keeps as it is.

The operator can put that right, so the task is left alone for a while and not failed.
"""


def update_well_formed(
    context: Context,
    keys: Sequence[str],
    guard: Guard,
    update: Update,
    time_limit: timedelta = WRITE_LIMIT,
) -> Op[PartialWrite]:
    """Update as `update_skipping_locked` does, and set aside the documents that cannot take the update."""
    try:
        return (yield from update_skipping_locked(context.tasks, keys, guard, update, time_limit=time_limit))
    except StorageRefused as error:
        if error.code not in UNFIT + TAKES_NO_WRITE:
            raise
        refusal = error
    if len(keys) == 1 and refusal.code in TAKES_NO_WRITE:
        why = StorageRefused(f"the task {shortened(keys[0])} is left as it is: {refusal}", code=refusal.code)
        return PartialWrite(0, list(keys), doubtful=False, refusal=why)
    if len(keys) == 1:
        found = yield from find_one(context.tasks, guard(keys), only=[fields.STATE])
        if found is not None:
            yield from set_aside(context, found, fields.VERSION)
        return NOTHING
    half = len(keys) // 2
    first = yield from update_well_formed(context, keys[:half], guard, update, time_limit)
    second = yield from update_well_formed(context, keys[half:], guard, update, time_limit)
    return first.joined(second)


def well_formed(context: Context, found: list[Document]) -> Op[list[Document]]:
    """Select the well-formed documents, and set the others aside: they would stay at the head of the queue."""
    selected = []
    for document in found:
        field = malformed_field(document)
        if field is None:
            selected.append(document)
        elif field == fields.SEALED:
            yield from put_off(context, document)
        else:
            yield from set_aside(context, document, field)
    return selected


def put_off(context: Context, document: Document) -> Op[None]:
    """Leave a task to those who can decrypt it, and look again in a while: a key may be on its way to this process."""
    context.lacking.add(unreadable_key(document) or "")
    where = {**filters.by_keys([document[fields.KEY]]), fields.STATE: document[fields.STATE]}
    where |= {fields.VERSION: document[fields.VERSION], fields.TOKEN: hold.token(document)}
    written = {fields.STATE: TaskState.SCHEDULED.value, fields.RUN_AT: context.clock.latest() + PUT_OFF}
    grown = {fields.VERSION: 1} | ({fields.UNCHARGED: 1} if document[fields.STATE] == TaskState.RUNNING else {})
    update = {"$set": written, "$inc": grown, "$unset": {fields.TOKEN: "", fields.LEASE_UNTIL: ""}}
    yield from update_many(context.tasks, where, update)


def set_aside(context: Context, document: Document, field: str) -> Op[None]:
    """Fail a malformed document, if its state has not changed; drop its content if it has no room for the note."""
    where = {**filters.by_keys([document[fields.KEY]]), fields.STATE: document[fields.STATE]}
    why = f"the field {field} is missing or of a wrong type"
    if isinstance(document, Unreadable):
        where[fields.KEY] = document.key
        why = f"the field {field} holds BSON that cannot be decoded"
    now = context.clock.now()
    keep = context.options.policy.keep_failed
    try:
        yield from update_many(context.tasks, where, updates.set_aside(field, why, now, keep))
    except StorageRefused as error:
        if error.code not in UNFIT:
            raise
        yield from update_many(context.tasks, where, updates.emptied(now, keep))
