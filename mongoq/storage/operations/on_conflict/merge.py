"""Change the task that has a `unique` value in place of enqueuing another; each change is one guarded write."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from mongoq.core.lifecycle import TaskState
from mongoq.core.tasks.new_task import AGAIN, REPLACE
from mongoq.storage.commands import Document, FindAndUpdate, Op, Update, find_one
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters, hold, indexes
from mongoq.storage.operations.recovery.duplicates import duplicate
from mongoq.storage.operations.recovery.skip_locked import WRITE_LIMIT

if TYPE_CHECKING:
    from mongoq.core.errors import DuplicateTask
    from mongoq.storage.documents.drafting import Draft

ID: Final = "id"
WITH: Final = "with"
"""Names within `again`: which request it was, and the content that it brought."""
CONTENT: Final = (
    fields.QUEUE, fields.NAME, fields.PRIORITY, fields.RUN_AT, fields.TAGS, fields.PAYLOAD, fields.EXPIRES_AT,
    fields.POLICY,
)  # fmt: skip
"""What a producer gives to a task, and `replace` puts in place of what an earlier one gave."""


def merged(context: Context, one: Draft, *, by_key: bool) -> Op[Document | DuplicateTask | None]:
    """The task with the `unique` value, changed; None where it has ended, or has changed meanwhile: try again.

    `by_key` says that the key was taken, maybe by another task: that is an error.
    """
    holder = yield from find_one(context.tasks, filters.by_unique([one.options.unique or ""]), hint=indexes.UNIQUE)
    if holder is None or (by_key and holder[fields.KEY] != one.key):
        return duplicate(one, by_unique=False) if by_key else None
    running = holder[fields.STATE] == TaskState.RUNNING
    if one.options.on_conflict == AGAIN and not running:
        return _seen(holder)  # its run is yet to come
    if running:
        where = filters.held([holder[fields.KEY]], [hold.token(holder) or "-"])
        update = _asked(one)
    else:
        where = filters.waiting(holder[fields.KEY], holder[fields.VERSION])
        update = _changed(one, holder)
    after: Document | None = yield FindAndUpdate(
        context.tasks, where, update, sort=[(fields.KEY, 1)], hint="_id_", server_limit=WRITE_LIMIT
    )
    return None if after is None else _seen(after)


def _changed(one: Draft, holder: Document) -> Update:
    """The change of a task that waits: its time, and with `replace` all that its producer gave, with a fresh count."""
    model = one.model
    written = {name: model[name] for name in (fields.STATE, fields.RUN_AT, fields.MODIFIED_AT)}
    removed: dict[str, str] = {}
    if one.options.on_conflict == REPLACE:
        given = {**model, fields.TAGS: dict(one.tags)}
        written |= {name: given[name] for name in CONTENT if name in given}
        removed = {name: "" for name in (*CONTENT, fields.AGAIN) if name not in given}
        if attempts := holder.get(fields.ATTEMPTS):
            written[fields.UNCHARGED] = attempts
    update: Update = {"$set": written, "$inc": {fields.VERSION: 1}}
    return update | ({"$unset": removed} if removed else {})


def _asked(one: Draft) -> Update:
    """The request to a task that runs, for one more run: it leaves the version, as a cancel request does.

    What an earlier request has replaced stays with `extend` and `again`.
    """
    request: dict[str, Any] = {ID: secrets.token_hex(8), fields.RUN_AT: one.model[fields.RUN_AT]}
    if one.options.on_conflict == REPLACE:
        given = {**one.model, fields.TAGS: dict(one.tags)}
        request[WITH] = {name: given[name] for name in CONTENT if name in given}
        return {"$set": {fields.AGAIN: request}}
    return {"$set": {f"{fields.AGAIN}.{name}": value for name, value in request.items()}}


def _seen(document: Document) -> Document:
    """A task as others than its holder may read it."""
    return {name: value for name, value in hold.without_token(document).items() if name != fields.LAST_TOKEN}
