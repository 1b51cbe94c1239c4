"""The events of a queue, kept for a test."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from mongoq.async_queue import AsyncQueue
from mongoq.queue import Queue


class Recorder:
    """Records every event of a queue from now on; see `mongoq.Signpost` for their names.

    with Recorder(queue) as events:
        run_due(queue, handler)
    assert len(events["task.started"]) == 2
    """

    def __init__(self, queue: Queue | AsyncQueue) -> None:
        self._seen: list[tuple[str, Mapping[str, Any]]] = []
        self._arrived = threading.Condition()
        self._end = queue.telemetry.subscribe(self._note)

    def __getitem__(self, name: str) -> list[Mapping[str, Any]]:
        """What the events of this name brought, in order."""
        return [fields for seen, fields in list(self._seen) if seen == name]

    @property
    def names(self) -> list[str]:
        """The names of all events, in order."""
        return [name for name, _ in list(self._seen)]

    def wait(self, name: str, count: int = 1, timeout: float = 10) -> list[Mapping[str, Any]]:
        """Wait until there are so many events of this name, which a worker's threads emit; AssertionError where not."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self[name]) >= count, timeout):
                raise AssertionError(f"{count} events {name!r} wanted within {timeout:g} s, came: {self.names}")
        return self[name]

    def close(self) -> None:
        """Record no more."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        self.close()

    def _note(self, name: str, fields: Mapping[str, Any]) -> None:
        with self._arrived:
            self._seen.append((name, fields))
            self._arrived.notify_all()
