"""The handles of a database's collections, with the concerns that mongoq relies on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from bson.binary import UUID_SUBTYPE, Binary
from pymongo import ReadPreference, WriteConcern
from pymongo.read_concern import ReadConcern

from mongoq.storage.documents.codec import CODEC, NAIVE, RAW

MOST_CONFIRMING: Final = 10_000
NO_COLLECTION: Final = 26


def confirmed_within(database: Any) -> int:
    """For how many milliseconds a write may wait for its majority: the server then says that it has none.

    Without a limit a write waits for ever where its set has no majority, or until the socket's own timeout, which looks
    like a lost connection.
    """
    options = getattr(getattr(database, "client", None), "options", None)
    of_socket = getattr(getattr(options, "pool_options", None), "socket_timeout", None)
    return min(MOST_CONFIRMING, int(of_socket * 800)) if isinstance(of_socket, int | float) else MOST_CONFIRMING


class Handles:
    """The collections of a database as mongoq uses them.

    They write with `w: majority` and read from the primary, whatever the URI says: with anything less an acknowledged
    task can be rolled back, and one task can be leased twice.
    """

    def __init__(self, database: Any) -> None:
        self._database = database
        self._concern = WriteConcern(w="majority", wtimeout=confirmed_within(database))
        self._known: dict[tuple[str, bool, bool, bool], Any] = {}

    def of(self, name: str, *, majority: bool = False, naive: bool = False, raw: bool = False) -> Any:
        """The handle of a collection.

        `majority` reads only what cannot be rolled back, `naive` without zones, `raw` without decoding.
        """
        kind = name, majority, naive, raw
        known = self._known.get(kind)
        if known is None:
            known = self._known[kind] = self._database.get_collection(
                name,
                codec_options=RAW if raw else NAIVE if naive else CODEC,
                read_preference=ReadPreference.PRIMARY,
                write_concern=self._concern,
                read_concern=ReadConcern("majority" if majority else "local"),
            )
        return known

    def names(self) -> Any:
        """Ask for the names of all collections."""
        return self._database.list_collection_names()

    def describe(self, name: str) -> Any:
        """Ask for the type and the options of a collection."""
        return self._primary().command("listCollections", filter={"name": name}, codec_options=CODEC)

    def indexes(self, name: str, own: dict[str, Any]) -> Any:
        """Ask for the indexes of a collection; without the option one that is being built looks like a ready one."""
        return self._primary().command(
            "listIndexes", name, cursor={"batchSize": 1_000}, includeBuildUUIDs=True, allowable_errors=[NO_COLLECTION],
            codec_options=CODEC, **own,
        )  # fmt: skip

    def operations(self, where: dict[str, Any], *, everybody: bool) -> Any:
        """Ask what the server works on in this database."""
        stages = [
            {"$currentOp": {"allUsers": everybody}},
            {"$match": {**where, "command.$db": self._database.name}},
            {"$limit": 20},
            {"$project": {"msg": 1, "progress": 1}},
        ]
        admin = self._database.client.admin.with_options(read_preference=ReadPreference.PRIMARY)
        return admin.command("aggregate", 1, pipeline=stages, cursor={}, codec_options=CODEC)

    def change(self, name: str, options: dict[str, Any]) -> Any:
        """Give a collection other options."""
        return self._primary().command("collMod", name, **options, writeConcern=self._concern.document)

    def create_capped(self, name: str, size: int, *, convert: bool) -> Any:
        """Make a capped collection of so many bytes, or make a collection that is there one."""
        confirmed = self._concern.document
        if convert:
            return self._primary().command("convertToCapped", name, size=size, writeConcern=confirmed)
        return self._primary().command("create", name, capped=True, size=size, writeConcern=confirmed)

    def _primary(self) -> Any:
        return self._database.with_options(read_preference=ReadPreference.PRIMARY)

    def hello(self) -> Any:
        """Ask the server for its time and its set."""
        return self._primary().command("hello", codec_options=CODEC)

    def ask(self, command: dict[str, Any], database: str | None, *, anywhere: bool) -> Any:
        """Ask for what only reads, in a database of this name."""
        asked = self._database if database is None else self._database.client[database]
        preferred = ReadPreference.NEAREST if anywhere else ReadPreference.PRIMARY
        return asked.with_options(read_preference=preferred).command(command, codec_options=CODEC)

    def kill(self, session_ids: Sequence[bytes]) -> Any:
        """End sessions of this user, with their transactions."""
        known = [{"id": Binary(one, UUID_SUBTYPE)} for one in session_ids]
        return self._database.client.admin.command("killSessions", known)
