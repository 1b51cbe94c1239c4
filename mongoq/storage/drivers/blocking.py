"""The blocking driver: steps an operation to its end, feeding it MongoDB's replies and errors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import pymongo
from bson.errors import BSONError
from pymongo import ReadPreference, WriteConcern
from pymongo.collection import Collection
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from mongoq.core.clock import ServerClock, elapsed
from mongoq.core.errors import MongoqError, StorageUnavailable
from mongoq.core.events import Signpost, Telemetry
from mongoq.storage.commands import Command, Op, Transaction
from mongoq.storage.documents.codec import CODEC, NAIVE
from mongoq.storage.drivers.connection import Connection
from mongoq.storage.drivers.errors import WRITE_CONFLICT, translated
from mongoq.storage.drivers.sessions import (
    Session,
    is_bound,
    joined_session,
    open_transaction,
    outside_session,
    transact,
)
from mongoq.storage.operations.schema import server_time

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

    def __init__(self, connection: Connection, clock: ServerClock, telemetry: Telemetry | None = None) -> None:
        self._connection = connection
        self._clock = clock
        self._telemetry = Telemetry() if telemetry is None else telemetry  # without listeners it is false
        self._handles: dict[tuple[str, bool, bool], Collection[Any]] = {}

    def run(self, op: Op[T], session: Session | None = None) -> T:
        """Run `op` to its end and return its result; only mongoq's own errors leave it.

        With a session it becomes part of that session's transaction, without one of none: whatever session the
        application has bound.
        """
        try:
            return outside_session(self._run, op, session) if is_bound() else self._run(op, session)
        finally:
            op.close()

    def joined(self, given: Session | None) -> Session | None:
        """The session whose transaction a producer's call takes part in; None where there is none."""
        return joined_session(self._connection, given)

    def measure(self) -> None:
        """Ask for the server's time, if that is due: for who needs it before an operation runs."""
        if self._clock.wants_measuring():
            outside_session(self._measure)

    @contextlib.contextmanager
    def transaction(self, first: Callable[[], Op[object]]) -> Iterator[Session]:
        """A transaction for the caller's own writes that begins with the operation that `first` makes."""
        self.measure()
        begin: Callable[[Session], object] = lambda session: self._step(first(), session)  # noqa: E731
        with open_transaction(self._connection, begin, self._repeated) as session:
            yield session

    def _run(self, op: Op[T], session: Session | None) -> T:
        self.measure()
        return self._step(op, session)

    def _step(self, op: Op[T], session: Session | None) -> T:
        try:
            asked = next(op)
            while True:
                try:
                    reply = self._answer(asked, session)
                except (MongoqError, PyMongoError, BSONError, ValueError, OverflowError, RecursionError) as error:
                    asked = op.throw(self._failure(error))
                else:
                    asked = op.send(reply)
        except StopIteration as done:
            result: T = done.value
            return result

    def _answer(self, asked: Command, session: Session | None) -> Any:
        if not isinstance(asked, Transaction):
            return self._call(asked, session)
        if session is not None:
            return self._step(asked.body(), session)
        return transact(self._connection, lambda own: self._step(asked.body(), own), self._repeated, asked.limit)

    def _repeated(self, error: BaseException) -> None:
        self._telemetry.emit(Signpost.TRANSACTION_REPEATED, error=error)

    def _failure(self, error: Exception) -> MongoqError:
        if isinstance(error, MongoqError):  # one that a transaction has translated already
            return error
        failure = translated(error, self._connection.where)
        if isinstance(failure, StorageUnavailable) and failure.code != WRITE_CONFLICT:
            self._clock.doubt()
        failure.__cause__ = error
        return failure

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

    def _call(self, command: Command, session: Session | None = None) -> Any:
        limit = command.limit
        target = self._target(command)
        options = command.options if session is None else {**command.options, "session": session}
        with pymongo.timeout(limit.total_seconds()) if limit else contextlib.nullcontext():
            reply = getattr(target, command.verb)(*command.args, **options)
            return reply.to_list() if command.verb in LISTS else reply  # a find asks the server only now

    def _target(self, command: Command) -> Any:
        if command.collection is None:
            return self._connection.database.with_options(read_preference=ReadPreference.PRIMARY)
        kind = command.collection, command.majority, command.naive
        known = self._handles.get(kind)
        if known is None:
            known = handle(self._connection, command.collection, majority=command.majority, naive=command.naive)
            self._handles[kind] = known
        return known
