"""Stops a worker when a newer mongoq has begun to write what this one cannot read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mongoq.core.errors import NewerFormat
from mongoq.storage.operations.namespace import format_version
from mongoq.worker.runtime import Runtime

CHECK_EVERY: Final = 60.0
"""Seconds; with a heartbeat. A sleeping worker sends 0.28 commands/s without it, and may send 0.3."""


class FormatCheck:
    """Looks at the version of the format, after a heartbeat, if it is time."""

    def __init__(self, runtime: Runtime, stop: Callable[[NewerFormat], None]) -> None:
        self._runtime = runtime
        self._stop = stop
        self._next = runtime.elapsed() + CHECK_EVERY  # the queue has looked before its worker began

    def look(self) -> None:
        """Call `stop` where this process is too old."""
        runtime = self._runtime
        if runtime.elapsed() < self._next:
            return
        self._next = runtime.elapsed() + CHECK_EVERY
        try:
            runtime.run(format_version.check(runtime.context))
        except NewerFormat as error:
            self._stop(error)
