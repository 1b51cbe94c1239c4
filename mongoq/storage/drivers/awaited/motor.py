"""The awaited driver over Motor's client, for applications that have not moved to PyMongo's own yet.

Motor is deprecated since May 2025; PyMongo's AsyncMongoClient takes its place. Motor runs a blocking client in threads,
and the worker's engine uses that very client.
"""

from __future__ import annotations

import contextvars
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClientSession

from mongoq.storage.drivers.awaited.connection import AsyncConnection, beside
from mongoq.storage.drivers.awaited.driver import AsyncDriver
from mongoq.storage.drivers.connection import Connection, Target, checked_database

NONE_BOUND: contextvars.ContextVar[Any] = contextvars.ContextVar("none", default=None)


class MotorDriver(AsyncDriver):
    """Runs operations on a Motor client."""

    SESSION = AsyncIOMotorClientSession
    OWNER = "AsyncIOMotorClient"
    BOUND = NONE_BOUND
    """Motor's sessions cannot be bound."""

    async def _start_session(self) -> Any:
        return await self.connection.database.client.start_session(causal_consistency=False)


def connect_motor(target: Any, blocking: Target = None) -> AsyncConnection:
    """The connection of a Motor client or its database; the engine uses the blocking client in it, or `blocking`."""
    database = checked_database(target)
    if blocking is not None:
        return AsyncConnection(database, lambda: beside(database, blocking))
    return AsyncConnection(database, lambda: Connection(database.delegate))
