"""The options of a client that weaken what a queue promises, or starve it, as the URI or the application set them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pymongo.client_options import ClientOptions

from mongoq.diagnosis.facts import Client, Unread


def described(client: Any) -> Client | Unread:
    """The options of a client of PyMongo or Motor; no command is sent."""
    options = getattr(client, "options", None)
    if not isinstance(options, ClientOptions):  # mongomock takes every name for that of a database
        return Unread("this client does not tell its options")
    concern, pool = options.write_concern.document, options.pool_options
    waits = pool.socket_timeout
    return Client(
        w=concern.get("w"),
        journal=concern.get("j"),
        reads_from=type(options.read_preference).__name__,
        pool=pool.max_pool_size if isinstance(pool.max_pool_size, int) else None,
        direct=bool(options.direct_connection),
        socket_timeout=None if waits is None else timedelta(seconds=waits),
    )
