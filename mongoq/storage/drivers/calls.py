"""From commands to calls of PyMongo's methods, which Motor and mongomock have too.

What a call returns is the reply, an awaitable of it or a cursor, as the client's kind is; `reply_of` makes the reply.
"""

from __future__ import annotations

from typing import Any, Final

import pymongo
from pymongo import ReadPreference, WriteConcern
from pymongo.read_concern import ReadConcern

from mongoq.storage.commands import (
    Aggregate,
    Bulk,
    Changing,
    Command,
    Count,
    CreateIndexes,
    Delete,
    Find,
    FindAndUpdate,
    InsertMany,
    InsertOne,
    ListCollections,
    ListIndexes,
    Removing,
    UpdateMany,
)
from mongoq.storage.documents.codec import CODEC, NAIVE

ROWS: Final = (Find, Aggregate)
"""The commands whose calls return a cursor."""


class Handles:
    """The collections of a database as mongoq uses them.

    They write with `w: majority` and read from the primary, whatever the URI says: with anything less an acknowledged
    task can be rolled back, and one task can be leased twice.
    """

    def __init__(self, database: Any) -> None:
        self._database = database
        self._known: dict[tuple[str, bool, bool], Any] = {}

    def of(self, name: str, *, majority: bool = False, naive: bool = False) -> Any:
        """The handle of a collection; `majority` reads only what cannot be rolled back, `naive` without zones."""
        kind = name, majority, naive
        known = self._known.get(kind)
        if known is None:
            known = self._known[kind] = self._database.get_collection(
                name,
                codec_options=NAIVE if naive else CODEC,
                read_preference=ReadPreference.PRIMARY,
                write_concern=WriteConcern(w="majority"),
                read_concern=ReadConcern("majority" if majority else "local"),
            )
        return known

    def names(self) -> Any:
        """Ask for the names of all collections."""
        return self._database.list_collection_names()

    def hello(self) -> Any:
        """Ask the server for its time and its set."""
        return self._database.with_options(read_preference=ReadPreference.PRIMARY).command("hello", codec_options=CODEC)


def call(handles: Handles, command: Command, session: Any) -> Any:  # noqa: C901, PLR0912 -- one line for each command
    """What the method that a command stands for returns."""
    own: dict[str, Any] = {} if session is None else {"session": session}
    match command:
        case Find():
            collection = handles.of(command.collection, majority=command.majority, naive=command.naive)
            return collection.find(command.where, **_find_options(command), **own)
        case UpdateMany():
            hint = {} if command.hint is None else {"hint": command.hint}
            options = {**hint, **own} if not command.upsert else {**hint, **own, "upsert": True}
            return handles.of(command.collection).update_many(command.where, command.update, **options)
        case Delete():
            hint = {} if command.hint is None else {"hint": command.hint}
            return handles.of(command.collection).delete_many(command.where, **hint, **own)
        case InsertOne(name, body):
            return handles.of(name).insert_one(body, **own)
        case InsertMany(name, bodies, ordered):
            return handles.of(name).insert_many(bodies, ordered=ordered, **own)
        case Bulk():
            writes = [_write(one) for one in command.writes]
            return handles.of(command.collection).bulk_write(writes, ordered=command.ordered, **own)
        case FindAndUpdate():
            most = int(command.server_limit.total_seconds() * 1_000)
            return handles.of(command.collection).find_one_and_update(
                command.where, command.update, sort=list(command.sort), hint=command.hint, return_document=True,
                maxTimeMS=most, **own,
            )  # fmt: skip
        case Count():
            hint = {} if command.hint is None else {"hint": command.hint}
            return handles.of(command.collection).count_documents(command.where, **hint, **own)
        case Aggregate():
            hint = {} if command.hint is None else {"hint": command.hint}
            return handles.of(command.collection).aggregate(list(command.pipeline), **hint, **own)
        case ListCollections():
            return handles.names()
        case ListIndexes(name):
            return handles.of(name).index_information(**own)
        case CreateIndexes():
            models = [pymongo.IndexModel(list(keys), name=n, **o) for n, (keys, o) in command.indexes.items()]
            quorum = {} if command.quorum is None else {"commitQuorum": command.quorum}
            return handles.of(command.collection).create_indexes(models, **quorum, **own)
        case _:
            return handles.hello()


def reply_of(command: Command, result: Any) -> Any:
    """The reply to a command, from what its call brought."""
    match command:
        case UpdateMany():
            return result.matched_count
        case Delete():
            return result.deleted_count
        case Bulk():
            return result.matched_count + result.deleted_count
        case _:
            return result


def _find_options(command: Find) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if command.limit:
        options = {"limit": -command.limit, "batch_size": command.limit}
    elif command.most:
        options = {"limit": command.most}
    if command.skip:
        options["skip"] = command.skip
    if command.only is not None:
        options["projection"] = list(command.only)
    elif command.without:
        options["projection"] = dict.fromkeys(command.without, 0)
    if command.sort is not None:
        options["sort"] = list(command.sort)
    if command.hint is not None:
        options["hint"] = command.hint
    if command.server_limit is not None:
        options["max_time_ms"] = int(command.server_limit.total_seconds() * 1_000)
    return options


def _write(statement: Changing | Removing) -> Any:
    if isinstance(statement, Removing):
        return (pymongo.DeleteMany if statement.many else pymongo.DeleteOne)(statement.where, hint="_id_")
    kind: Any = pymongo.UpdateMany if statement.many else pymongo.UpdateOne
    return kind(statement.where, statement.update, hint="_id_")
