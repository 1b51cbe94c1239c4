"""Stops a worker when a newer mongoq has begun to write what this one cannot read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mongoq.core.errors import NewerFormat
from mongoq.storage.operations.namespace import format_version
from mongoq.worker.runtime import Runtime

CHECK_EVERY: Final = 60.0
"""Seconds; with a heartbeat. Nothing is sent where the orders were read meanwhile, which bring the version with them: a
sleeping worker sends 0.29 commands/s, and may send 0.3."""
READ_WITHIN: Final = 90.0
"""Seconds: a sleeping worker reads the orders every 60 s."""


class FormatCheck:
    """Looks at the version of the format, after a heartbeat, if it is time."""

    def __init__(self, runtime: Runtime, stop: Callable[[NewerFormat], None]) -> None:
        self._runtime = runtime
        self._stop = stop
        self._next = runtime.elapsed() + CHECK_EVERY  # the queue has looked before its worker began

    def look(self) -> None:
        """Call `stop` where this process is too old."""
        runtime = self._runtime
        gate, now = runtime.context.gate, runtime.elapsed()
        if now < self._next or (gate.readable and now - gate.read_at < READ_WITHIN):
            return
        self._next = runtime.elapsed() + CHECK_EVERY
        try:
            runtime.run(format_version.check(runtime.context))
        except NewerFormat as error:
            self._stop(error)
