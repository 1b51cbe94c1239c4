"""Transactions and sessions: mongoq's own, and those that an application brings.

A transaction of mongoq's own is tried again for `REPLAYED_FOR` after a write conflict or a fail-over, and so is its
commit until its outcome is known. The driver's `with_transaction` does the same for two minutes, and has no shorter
limit: too long for a worker, whose other endings wait meanwhile.
"""

from __future__ import annotations

import contextvars
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, ParamSpec, TypeVar

from pymongo import ReadPreference, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from mongoq.core.clock import elapsed
from mongoq.core.errors import StorageUnavailable
from mongoq.core.validation import Checker
from mongoq.storage.drivers.connection import Connection
from mongoq.storage.drivers.errors import TRANSIENT, UNKNOWN_COMMIT, translated

try:
    from pymongo.synchronous.client_session import _SESSION as BOUND
except ImportError:  # a driver whose sessions cannot be bound
    BOUND = contextvars.ContextVar("none", default=None)

Session = ClientSession
P = ParamSpec("P")
T = TypeVar("T")

REPLAYED_FOR: Final = 10.0
"""Seconds for which a transaction is tried again, where it brings no limit of its own."""
FIRST_PAUSE: Final = 0.002
LONGEST_PAUSE: Final = 0.2


def transact(
    connection: Connection,
    body: Callable[[ClientSession], T],
    repeated: Callable[[BaseException], object],
    limit: timedelta | None = None,
) -> T:
    """Run `body` in a transaction of its own and commit it; both again as long as that can help, and the limit.

    `repeated` is called with the error each time before they are.
    """
    give_up_at = elapsed() + (limit.total_seconds() if limit else REPLAYED_FOR)

    def whole(session: ClientSession) -> T:
        result = body(session)
        _commit(session, connection, give_up_at)
        return result

    with connection.database.client.start_session(causal_consistency=False) as session:
        return _persistently(session, whole, give_up_at, repeated)


@contextmanager
def open_transaction(
    connection: Connection, first: Callable[[ClientSession], object], repeated: Callable[[BaseException], object]
) -> Iterator[ClientSession]:
    """A transaction that begins with `first`, which is tried again, and commits after the block, which is not."""
    with connection.database.client.start_session(causal_consistency=False) as session:
        _persistently(session, first, elapsed() + REPLAYED_FOR, repeated)
        try:
            yield session
            _commit(session, connection, elapsed() + REPLAYED_FOR)
        except BaseException:
            _abort(session)
            raise


def _persistently(
    session: ClientSession,
    body: Callable[[ClientSession], T],
    give_up_at: float,
    repeated: Callable[[BaseException], object],
) -> T:
    """Run `body` in a new transaction, again and again while that may help."""
    pause = FIRST_PAUSE
    while True:
        _begin(session)
        try:
            return body(session)
        except BaseException as error:
            _abort(session)
            if not _may_help(error) or elapsed() + pause > give_up_at:
                raise
            repeated(error)
        threading.Event().wait(pause * random.uniform(0.5, 1))  # noqa: S311 -- no secret
        pause = min(LONGEST_PAUSE, pause * 2)


def _begin(session: ClientSession) -> None:
    """Start a transaction that sees one moment of what a majority has, and is durable once it commits."""
    session.start_transaction(ReadConcern("snapshot"), WriteConcern("majority"), ReadPreference.PRIMARY)


def _commit(session: ClientSession, connection: Connection, give_up_at: float) -> None:
    """Commit, and ask again until the outcome is known; StorageUnavailable (ambiguous) where it stays unknown."""
    while True:
        try:
            session.commit_transaction()
        except PyMongoError as error:
            if not error.has_error_label(UNKNOWN_COMMIT):
                raise translated(error, connection.where) from error
            if elapsed() > give_up_at:
                message = "MongoDB did not say whether the transaction was committed"
                raise StorageUnavailable(message, ambiguous=True) from error
            threading.Event().wait(FIRST_PAUSE)
        else:
            return


def _abort(session: ClientSession) -> None:
    """End a transaction in progress without a trace."""
    if session.in_transaction:
        session.abort_transaction()


def is_bound() -> bool:
    """Whether the application has bound a session in this context: of whatever client, it is not for mongoq's own."""
    return BOUND.get() is not None


def outside_session(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `function` where no session is bound; all else that the context holds (a time limit) stays."""
    context = contextvars.copy_context()
    context.run(BOUND.set, None)
    return context.run(function, *args, **kwargs)


def joined_session(connection: Connection, given: Any) -> ClientSession | None:
    """The session to enqueue in: the one given, or a bound one with a transaction in progress.

    ConfigurationError where the one given is of another client, or has no transaction in progress.
    """
    if given is None:
        bound = BOUND.get()
        ours = bound is not None and bound.client is connection.database.client and bound.in_transaction
        return bound if ours else None
    checker = Checker()
    if not isinstance(given, ClientSession):
        checker.refuse("session", given, "a ClientSession of the queue's MongoClient")
    elif given.client is not connection.database.client:
        checker.refuse("session", given, "a session of the MongoClient that the queue was opened on")
    elif not given.in_transaction:
        checker.refuse("session", given, "a session with a transaction in progress")
    checker.finish()
    return given  # type: ignore[no-any-return]


def _may_help(error: BaseException) -> bool:
    return isinstance(error, PyMongoError) and error.has_error_label(TRANSIENT)
