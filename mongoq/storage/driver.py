"""The blocking driver: steps an operation to its end, feeding it MongoDB's replies and errors."""

from __future__ import annotations

import contextlib
from typing import Any, Final, TypeVar

import pymongo
from bson.errors import BSONError
from pymongo import ReadPreference, WriteConcern
from pymongo.collection import Collection
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from mongoq.clock import ServerClock, elapsed
from mongoq.errors import StorageUnavailable
from mongoq.storage.administering import server_time
from mongoq.storage.codec import CODEC, NAIVE
from mongoq.storage.commands import Command, Op
from mongoq.storage.connection import Connection
from mongoq.storage.failures import translated

T = TypeVar("T")

LISTS: Final = ("find", "aggregate")


def handle(connection: Connection, collection: str, *, majority: bool, naive: bool = False) -> Collection[Any]:
    """A collection as mongoq uses it; `majority` reads only what cannot be rolled back any more.

    It writes with `w: majority` and reads from the primary, whatever the URI says: with anything less an
    acknowledged task can be rolled back, and one task can be leased twice.
    """
    return connection.database.get_collection(
        collection,
        codec_options=NAIVE if naive else CODEC,
        read_preference=ReadPreference.PRIMARY,
        write_concern=WriteConcern(w="majority"),
        read_concern=ReadConcern("majority" if majority else "local"),
    )


class Driver:
    """Runs operations on one connection; may be used by many threads."""

    def __init__(self, connection: Connection, clock: ServerClock) -> None:
        self._connection = connection
        self._clock = clock
        self._handles: dict[tuple[str, bool, bool], Collection[Any]] = {}

    def run(self, op: Op[T]) -> T:
        """Run `op` to its end and return its result; only mongoq's own errors leave it."""
        try:
            if self._clock.wants_measuring():
                self._measure()
            command = next(op)
            while True:
                try:
                    reply = self._call(command)
                except (PyMongoError, BSONError, ValueError, OverflowError) as error:
                    failure = translated(error, self._connection.where)
                    if isinstance(failure, StorageUnavailable):
                        self._clock.doubt()
                    failure.__cause__ = error
                    command = op.throw(failure)
                else:
                    command = op.send(reply)
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            op.close()

    def _measure(self) -> None:
        op = server_time()
        sent = elapsed()
        try:
            reply = self._call(next(op))
        except (PyMongoError, BSONError) as error:
            raise translated(error, self._connection.where) from error
        finally:
            op.close()
        self._clock.measured(reply["localTime"], sent, elapsed())

    def _call(self, command: Command) -> Any:
        limit = command.limit
        target = self._target(command)
        with pymongo.timeout(limit.total_seconds()) if limit else contextlib.nullcontext():
            reply = getattr(target, command.verb)(*command.args, **command.options)
        return reply.to_list() if command.verb in LISTS else reply

    def _target(self, command: Command) -> Any:
        if command.collection is None:
            return self._connection.database.with_options(read_preference=ReadPreference.PRIMARY)
        kind = command.collection, command.majority, command.naive
        known = self._handles.get(kind)
        if known is None:
            known = handle(self._connection, command.collection, majority=command.majority, naive=command.naive)
            self._handles[kind] = known
        return known
