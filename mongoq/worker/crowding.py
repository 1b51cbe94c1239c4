"""Whether a client has connections enough for the workers that share it in this process."""

from __future__ import annotations

import logging
from typing import Any, Final
from weakref import WeakSet

from mongoq.worker.handle import WorkerHandle

log = logging.getLogger("mongoq.worker")

KEPT: Final = 2
"""Connections that a worker keeps at most."""

_workers: WeakSet[WorkerHandle] = WeakSet()


def pool_of(client: Any) -> int | None:
    """How many connections a client may have; None: without a limit, or not told."""
    most = getattr(getattr(getattr(client, "options", None), "pool_options", None), "max_pool_size", None)
    return most if isinstance(most, int) else None


def crowded(client: Any) -> bool:
    """Whether one more worker may hold no connections of its own; one line says so.

    A worker reads signals and, where it watches, a change stream: each keeps a connection. At least one must be left
    for all the rest: the next worker would wait for ever.
    """
    most = pool_of(client)
    sharing = sum(other.client is client and not other.stopped for other in list(_workers))
    if most is None or KEPT * (sharing + 1) < most:
        return False
    log.warning(
        "%d workers share a MongoDB client of maxPoolSize=%d: this one looks for work by polls, and all wait for "
        "connections; give the client about 3 for each worker",
        sharing + 1,
        most,
    )
    return True


def note(handle: WorkerHandle, client: Any) -> None:
    """Note a worker that works with this client."""
    handle.client = client
    _workers.add(handle)
