"""Writes what this process did, after each of its heartbeats."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from mongoq.core.errors import StorageRefused
from mongoq.storage.operations.history import write
from mongoq.worker.runtime import Runtime

log = logging.getLogger("mongoq.worker")

AGAIN: Final = 600.0
"""Seconds after which one who may not write tries again."""
SHARE: Final = 20.0
"""The writing of many sums takes at most this part of the time: 10,000 queues in one process took 0.6 s each time."""


class Recorder:
    """Takes the sums of the tally and writes them. A process that is lost loses what came since its last heartbeat."""

    def __init__(self, runtime: Runtime, also: Callable[[], None] = lambda: None) -> None:
        self._runtime = runtime
        runtime.tally.telemetry = runtime.telemetry
        self._also = also
        self._next = 0.0
        self._ready = False
        """Whether the indexes were looked for."""

    def beaten(self) -> None:
        """Write, and do what else follows a heartbeat."""
        self.flush()
        self._also()

    def tell(self) -> None:
        """Let who listens for sums have what was added up so far."""
        self._runtime.tally.tell(self._runtime.context.clock)

    def flush(self, *, last: bool = False) -> None:
        """Write what was added up, if there is anything; `last` also where the last time was long."""
        runtime = self._runtime
        began = runtime.elapsed()
        if began < self._next and not last:
            return
        sums = runtime.tally.take(runtime.context.clock)
        if not sums:
            return
        try:
            if not self._ready:
                runtime.run(write.ensure_indexes(runtime.context))
                self._ready = True
            runtime.run(write.add(runtime.context, sums))
        except StorageRefused as error:
            why = "this user may not write it" if error.no_right else error
            log.info("the history lacks what this worker does: %s", why)
            self._next = runtime.elapsed() + AGAIN
            return
        except BaseException:
            runtime.tally.give_back(sums)
            raise
        ended = runtime.elapsed()
        self._next = ended + SHARE * (ended - began) if ended - began > 1 / SHARE else 0.0
