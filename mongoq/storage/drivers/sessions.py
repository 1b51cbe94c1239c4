"""Sessions that an application brings: one given to a call, or one bound to the context that calls."""

from __future__ import annotations

import contextvars
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol, TypeVar

from pymongo import ReadPreference, WriteConcern
from pymongo.asynchronous import client_session as async_sessions
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.read_concern import ReadConcern
from pymongo.synchronous import client_session as blocking_sessions
from pymongo.synchronous.client_session import ClientSession

from mongoq.core.validation import Checker

__all__ = [
    "BOUND",
    "BOUND_ASYNC",
    "TRANSACTION",
    "AsyncClientSession",
    "AwaitedSession",
    "BlockingSession",
    "ClientSession",
    "Session",
    "joined_session",
    "unbound",
]

Session = TypeVar("Session")
"""The session of the application's own client: a `BlockingSession` or an `AwaitedSession`."""


class BlockingSession(Protocol):
    """A session of a client that blocks."""

    def commit_transaction(self) -> None:
        """Commit the transaction in progress."""


class AwaitedSession(Protocol):
    """A session of PyMongo's AsyncMongoClient or of Motor's client, which has no type in common with it."""

    def commit_transaction(self) -> Coroutine[Any, Any, None]:
        """Commit the transaction in progress."""


_NONE: Final[contextvars.ContextVar[Any]] = contextvars.ContextVar("none", default=None)
# A driver whose sessions cannot be bound has no such variables.
BOUND: Final[contextvars.ContextVar[Any]] = getattr(blocking_sessions, "_SESSION", _NONE)
BOUND_ASYNC: Final[contextvars.ContextVar[Any]] = getattr(async_sessions, "_SESSION", _NONE)

TRANSACTION: Final = (ReadConcern("snapshot"), WriteConcern("majority", wtimeout=2_400), ReadPreference.PRIMARY)
"""A transaction sees one moment of what a majority has, and is durable once it commits."""


@contextmanager
def unbound(variable: contextvars.ContextVar[Any]) -> Iterator[None]:
    """Bind no session during the block: of whatever client it is, it is not for mongoq's own commands."""
    token = variable.set(None)
    try:
        yield
    finally:
        variable.reset(token)


def joined_session(given: Any, bound: Any, client: Any, kind: type[Any], owner: str) -> Any:
    """The session whose transaction a call takes part in: the one given, or a bound one with a transaction; or None.

    `kind` is the type of the client's sessions, `owner` the name of its own. ConfigurationError where the one given is
    of another client, or has no transaction in progress.
    """
    if given is None:
        ours = bound is not None and bound.client is client and bound.in_transaction
        return bound if ours else None
    checker = Checker()
    if not isinstance(given, kind):
        checker.refuse("session", given, f"a {kind.__name__} of the queue's {owner}")
    elif given.client is not client:
        checker.refuse("session", given, f"a session of the {owner} that the queue was opened on")
    elif not given.in_transaction:
        checker.refuse("session", given, "a session with a transaction in progress")
    checker.finish()
    return given
