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


def crowded(client: Any) -> bool:
    """Whether one more worker may hold no connections of its own; one line says so.

    A worker reads signals and, where it watches, a change stream: each keeps a connection. At least one must be left
    for all the rest: the next worker would wait for ever.
    """
    most = getattr(getattr(client.options, "pool_options", None), "max_pool_size", None)
    sharing = sum(other.client is client and not other.stopped for other in list(_workers))
    if not isinstance(most, int) or KEPT * (sharing + 1) < most:
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
