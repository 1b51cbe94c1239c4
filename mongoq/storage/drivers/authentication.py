"""Authentication that a server has forgotten: a user dropped and made again, a certificate or a right revoked.

A connection authenticates once, when it is opened. The server refuses whatever it is asked on one whose user is gone,
also after the user was made again, and the driver keeps the connection: a queue heard Unauthorized for ever, while a
new client worked at once. So the connections are dropped, and those that take their place authenticate again.
"""

from __future__ import annotations

import threading
from typing import Any, Final

from pymongo.errors import OperationFailure

from mongoq.core.clock import elapsed

REFUSED: Final = frozenset({11, 13, 18, 391})
"""The server's codes for a user that is not there, lacks a right, was not recognised, or has to authenticate again."""
AGAIN_AFTER: Final = 2.0
"""Seconds between two tries: where a right is really missing, new connections do not bring it."""


class Authentication:
    """Tells when the connections of a client should be dropped. May be used by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0.0

    def lost(self, error: Exception) -> bool:
        """Whether this error asks for connections that authenticate again, and it is time for that."""
        if not isinstance(error, OperationFailure) or error.code not in REFUSED:
            return False
        with self._lock:
            now = elapsed()
            if now < self._next:
                return False
            self._next = now + AGAIN_AFTER
            return True


def pools_of(client: Any) -> list[Any]:
    """The pools of a client's connections. The driver has no public way to them; without them nothing is dropped."""
    # Motor's client has the driver's own in `delegate`; a client of the driver takes that name for a database's.
    topology = getattr(vars(client).get("delegate", client), "_topology", None)
    pools = [getattr(server, "pool", None) for server in list(getattr(topology, "_servers", {}).values())]
    return [pool for pool in pools if hasattr(pool, "reset_without_pause")]
