"""From commands to calls of PyMongo's methods, which Motor and mongomock have too.

What a call returns is the reply, an awaitable of it or a cursor, as the client's kind is; `reply_of` makes the reply.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Final

import pymongo

from mongoq.storage.asking import Ask
from mongoq.storage.commands import (
    Aggregate,
    Bulk,
    Command,
    Count,
    Delete,
    Document,
    Find,
    FindAndUpdate,
    InsertMany,
    InsertOne,
    UpdateMany,
)
from mongoq.storage.control import (
    ChangeCollection,
    CreateCapped,
    CreateIndexes,
    CurrentOps,
    DescribeCollection,
    Hello,
    KillSessions,
    ListCollections,
    ListIndexes,
)
from mongoq.storage.documents.codec import CODEC, NAIVE
from mongoq.storage.drivers.call_options import as_model, hint_of, options_of_find
from mongoq.storage.drivers.decoding import decoded
from mongoq.storage.drivers.handles import Handles

try:
    from pymongo._csot import get_timeout as _limit_of
except ImportError:  # a driver that keeps it elsewhere: its limits are then those of a group's writer

    def _limit_of() -> float | None:
        return None


Own = dict[str, Any]
"""The session of a call, where it has one."""
ROWS: Final = (Find, Aggregate)
"""The commands whose calls return a cursor."""

_UNLIMITED: Final = contextlib.nullcontext()


def limited() -> bool:
    """Whether a time limit of the caller's, by `pymongo.timeout`, is in force."""
    return _limit_of() is not None


def time_limit(limit: timedelta | None) -> contextlib.AbstractContextManager[Any]:
    """Limit what is called in the block, in place of the client's own limits."""
    return _UNLIMITED if limit is None else pymongo.timeout(limit.total_seconds())


def call(handles: Handles, command: Any, session: Any) -> Any:
    """What the method that a command stands for returns."""
    return CALLS[type(command)](handles, command, {} if session is None else {"session": session})


def reply_of(command: Command, result: Any) -> Any:
    """The reply to a command, from what its call brought."""
    read = REPLIES.get(type(command))
    return result if read is None else read(result)


def call_undecoded(handles: Handles, command: Find | Aggregate, session: Any) -> Any:
    """As `call`, for rows that the driver cannot decode; `decoded_rows` decodes them one by one."""
    read: Callable[..., Any] = _find if isinstance(command, Find) else _aggregate
    return read(handles, command, {} if session is None else {"session": session}, raw=True)


def decoded_rows(command: Find | Aggregate, rows: Iterable[Any]) -> list[Document]:
    """The documents that `call_undecoded` brought."""
    codec = NAIVE if command.naive else CODEC
    return [decoded(row, codec) for row in rows]


def _find(handles: Handles, command: Find, own: Own, *, raw: bool = False) -> Any:
    collection = handles.of(command.collection, majority=command.majority, naive=command.naive, raw=raw)
    return collection.find(command.where, **options_of_find(command), **own)


def _written(handles: Handles, collection: str) -> Any:
    """The handle for writes, whose replies have no times: to decode types the driver copies its options each time."""
    return handles.of(collection, naive=True)


def _update_many(handles: Handles, command: UpdateMany, own: Own) -> Any:
    options = hint_of(command) | ({**own, "upsert": True} if command.upsert else own)
    return _written(handles, command.collection).update_many(command.where, command.update, **options)


def _delete(handles: Handles, command: Delete, own: Own) -> Any:
    return _written(handles, command.collection).delete_many(command.where, **hint_of(command), **own)


def _insert_one(handles: Handles, command: InsertOne, own: Own) -> Any:
    return _written(handles, command.collection).insert_one(command.body, **own)


def _insert_many(handles: Handles, command: InsertMany, own: Own) -> Any:
    return _written(handles, command.collection).insert_many(command.bodies, ordered=command.ordered, **own)


def _bulk(handles: Handles, command: Bulk, own: Own) -> Any:
    writes = [as_model(one) for one in command.writes]
    return _written(handles, command.collection).bulk_write(writes, ordered=command.ordered, **own)


def _find_and_update(handles: Handles, command: FindAndUpdate, own: Own) -> Any:
    # Undecoded: the claim is made when its reply comes, whether or not the driver can decode the document.
    return handles.of(command.collection, raw=True).find_one_and_update(
        command.where, command.update, sort=list(command.sort), hint=command.hint, return_document=True,
        maxTimeMS=int(command.server_limit.total_seconds() * 1_000), **own,
    )  # fmt: skip


def _count(handles: Handles, command: Count, own: Own) -> Any:
    limit = {"limit": command.most} if command.most else {}
    return handles.of(command.collection).count_documents(command.where, **hint_of(command), **limit, **own)


def _aggregate(handles: Handles, command: Aggregate, own: Own, *, raw: bool = False) -> Any:
    collection = handles.of(command.collection, naive=command.naive, raw=raw)
    batch = {"batchSize": command.batch} if command.batch else {}
    return collection.aggregate(list(command.pipeline), **hint_of(command), **batch, **own)


def _create_indexes(handles: Handles, command: CreateIndexes, own: Own) -> Any:
    models = [pymongo.IndexModel(list(keys), name=n, **o) for n, (keys, o) in command.indexes.items()]
    quorum = {} if command.quorum is None else {"commitQuorum": command.quorum}
    return handles.of(command.collection).create_indexes(models, **quorum, **own)


CALLS: Final[dict[type, Callable[[Handles, Any, Own], Any]]] = {
    Find: _find,
    UpdateMany: _update_many,
    Delete: _delete,
    InsertOne: _insert_one,
    InsertMany: _insert_many,
    Bulk: _bulk,
    FindAndUpdate: _find_and_update,
    Count: _count,
    Aggregate: _aggregate,
    ListCollections: lambda handles, _command, _own: handles.names(),
    DescribeCollection: lambda handles, command, _own: handles.describe(command.collection),
    ListIndexes: lambda handles, command, own: handles.indexes(command.collection, own),
    CurrentOps: lambda handles, command, _own: handles.operations(command.where, everybody=command.everybody),
    CreateIndexes: _create_indexes,
    ChangeCollection: lambda handles, command, _own: handles.change(command.collection, command.options),
    CreateCapped: lambda handles, command, _own: handles.create_capped(
        command.collection, command.size, convert=command.convert
    ),
    Hello: lambda handles, _command, _own: handles.hello(),
    Ask: lambda handles, command, _own: handles.ask(command.command, command.database, anywhere=command.anywhere),
    KillSessions: lambda handles, command, _own: handles.kill(command.session_ids),
}
"""The commands that are one call of a method, by kind: a table, since a `match` asks for one kind after the other."""
REPLIES: Final[dict[type, Callable[[Any], Any]]] = {
    FindAndUpdate: lambda found: None if found is None else decoded(found, CODEC),
    ListIndexes: lambda reply: dict(map(_index, reply.get("cursor", {}).get("firstBatch", ()))),
    CurrentOps: lambda reply: reply["cursor"]["firstBatch"],
    DescribeCollection: lambda reply: next(iter(reply["cursor"]["firstBatch"]), None),
    UpdateMany: lambda result: int(result.matched_count),
    Delete: lambda result: int(result.deleted_count),
    Bulk: lambda result: int(result.matched_count + result.deleted_count),
}


def _index(listed: Document) -> tuple[str, Document]:
    """An index by its name, its keys as pairs, as `index_information` gives it."""
    found = {**listed.get("spec", listed)}
    if "buildUUID" in listed:
        found["building"] = True
    return found.pop("name"), {**found, "key": [*found["key"].items()]}
