"""From what a user names to a database of an awaited client, and to a blocking one of the same beside it.

The worker's threads use the blocking one: its client has the settings of the awaited one, but for what belongs to a
loop, and is opened when it is first needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import pymongo
from pymongo import AsyncMongoClient, MongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.database import Database
from pymongo.errors import PyMongoError

from mongoq.core.errors import ConfigurationError, Fault
from mongoq.storage.drivers.connection import (
    LAST_WORD,
    AsyncTarget,
    Connection,
    Target,
    checked_database,
    connect,
    database_of,
    hosts_of,
    named_server,
    opened,
)

if TYPE_CHECKING:
    from mongoq.embedded.server import EmbeddedServer


@dataclass(frozen=True, slots=True)
class AsyncConnection:
    """A database of an awaited client to work on, what was opened for it, and how to open a blocking client of it."""

    database: Any
    make_blocking: Callable[[], Connection]
    """Opens a blocking connection to the same database; it may take as long as a look-up of a host's name."""
    owned: AsyncMongoClient[Any] | None = None
    server: EmbeddedServer | None = None

    @property
    def where(self) -> str:
        """The hosts and the database, without any secret."""
        return f"{hosts_of(self.database.client)}/{self.database.name}"

    async def close(self) -> None:
        """Close what was opened here; a client handed in stays open."""
        if self.owned is not None:
            with pymongo.timeout(LAST_WORD):
                closing = asyncio.ensure_future(_closed(self.owned))
            _CLOSING.add(closing)
            closing.add_done_callback(_CLOSING.discard)
            # Where its server is frozen it goes on alone: broken off, it would leave the client's monitors running.
            await asyncio.wait([closing], timeout=LAST_WORD)
        if self.server is not None:
            await asyncio.to_thread(self.server.close)


_CLOSING: Final[set[asyncio.Future[None]]] = set()
"""The clients that are still closing: the loop alone would let them be collected before they have."""


async def _closed(client: AsyncMongoClient[Any]) -> None:
    """Close a client whose last words to its server may fail; the second time it has none left to say."""
    for _ in range(2):
        with suppress(PyMongoError):
            await client.close()
            return


def connect_async(target: AsyncTarget, blocking: Target = None) -> AsyncConnection:
    """Open what `target` names for awaited use. `blocking` names the same MongoDB for the engine's own client."""
    if isinstance(target, AsyncMongoClient | AsyncDatabase):
        database = checked_database(target)
        return AsyncConnection(database, lambda: beside(database, blocking))
    uri, server = named_server(
        target, 'a URI ("mongodb://...", "mongodb+srv://...", "embedded:FOLDER"), an async client'
    )
    client: AsyncMongoClient[Any] = opened(AsyncMongoClient, uri)
    database = database_of(client, server)
    return AsyncConnection(database, lambda: beside(database, uri if blocking is None else blocking), client, server)


def beside(database: Any, blocking: Target) -> Connection:
    """A blocking connection to the same database: by the client given for it, or by one with the same settings."""
    if isinstance(blocking, Database):
        if blocking.name != database.name:
            allowed = f"the database of the awaited client, {database.name!r}"
            raise ConfigurationError([Fault("blocking", f"the database {blocking.name!r}", allowed)])
        return Connection(checked_database(blocking))
    if blocking is not None:
        given = connect(blocking)
        return replace(given, database=given.database.client[database.name])
    client: MongoClient[Any] = MongoClient(**settings_beside(database.client))
    return Connection(client[database.name], client)


def settings_beside(client: Any) -> dict[str, Any]:
    """The settings of an awaited client, as far as a blocking one may share them; ConfigurationError where not."""
    allowed = "blocking=, a MongoClient or a URI of the same MongoDB, for the worker's own threads"
    settings = getattr(client, "_init_kwargs", None)
    if settings is None:
        raise ConfigurationError(
            [Fault("blocking", "this PyMongo does not tell an AsyncMongoClient's settings", allowed)]
        )
    vault = getattr(settings.get("auto_encryption_opts"), "_key_vault_client", None)
    if isinstance(vault, AsyncMongoClient):
        raise ConfigurationError(
            [Fault("blocking", "an encrypting client whose key vault has an awaited one", allowed)]
        )
    # Listeners of an awaited client are written for its loop: the engine would call them in its threads.
    return {name: value for name, value in settings.items() if name != "event_listeners"}
