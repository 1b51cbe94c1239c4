"""Keep what operators did, in `<namespace>.audit`: one document for each act, whose key ascends with the time."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from mongoq.auditing.entry import AuditEntry
from mongoq.core.errors import StorageRefused
from mongoq.storage.commands import Document, InsertOne, Op, Update, find, update_many
from mongoq.storage.context import Context
from mongoq.storage.control import CreateIndexes, Hello, ListIndexes
from mongoq.storage.documents import fields, indexes
from mongoq.storage.operations.long_work.patience import LOOK_LIMIT

INDEXES: Final[indexes.Indexes] = {"kept": ([("at", 1)], {"expireAfterSeconds": 400 * 86_400})}
LONGEST_ERROR: Final = 500


def begin(context: Context, act: str, by: str, about: Document) -> Op[AuditEntry]:
    """Write an act that has not ended."""
    yield from _ensure_index(context)
    now = context.clock.now()
    document = {fields.KEY: context.new_key(now), "act": act, "by": by, "about": about, "at": now, "count": 0}
    yield InsertOne(context.audit, document)
    return _entry(document)


def counted(context: Context, entry: str, count: int) -> Op[None]:
    """Raise the count of an act."""
    yield from update_many(context.audit, {fields.KEY: {"$eq": entry}}, {"$max": {"count": count}})


def end(context: Context, entry: str, count: int, error: str | None) -> Op[None]:
    """Close an act."""
    written: Document = {"ended_at": context.clock.now()} | ({} if error is None else {"error": error[:LONGEST_ERROR]})
    update: Update = {"$set": written, "$max": {"count": count}}
    yield from update_many(context.audit, {fields.KEY: {"$eq": entry}}, update)


def listed(context: Context, after: str | None, limit: int) -> Op[list[AuditEntry]]:
    """List acts, the newest first."""
    where: Document = {} if after is None else {fields.KEY: {"$lt": after}}
    found = yield from find(context.audit, where, sort=[(fields.KEY, -1)], most=limit)
    return [_entry(document) for document in found]


def _entry(document: Document) -> AuditEntry:
    get = document.get
    at, ended = get("at"), get("ended_at")
    assert isinstance(at, datetime)
    about: Any = get("about") or {}
    return AuditEntry(
        str(document[fields.KEY]), str(get("act")), str(get("by")), about, at, int(get("count", 0)), ended, get("error")
    )


def _ensure_index(context: Context) -> Op[None]:
    """Build the index by which old acts are deleted; whoever may not do so keeps them for ever."""
    try:
        existing: dict[str, Any] = yield ListIndexes(context.audit)
        if indexes.missing(INDEXES, existing):
            reply = yield Hello()
            yield CreateIndexes(context.audit, INDEXES, "majority" if "setName" in reply else None, LOOK_LIMIT)
    except StorageRefused:
        pass
