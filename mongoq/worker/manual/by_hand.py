"""What those who claim by hand share in one queue object: where they wait, and what they keep.

The facade makes it when it is first needed: a producer is spared the import of what a worker is made of.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Final

from mongoq.core.events import Telemetry
from mongoq.core.requests import ClaimRequest
from mongoq.core.task import Task
from mongoq.storage.context import Context
from mongoq.storage.drivers import change_stream
from mongoq.storage.drivers.change_stream import ChangeStream
from mongoq.storage.drivers.connection import Connection
from mongoq.storage.operations import claims, queries
from mongoq.worker.manual import results
from mongoq.worker.manual.keepalive import Claimed, Keepalive, Keepalives
from mongoq.worker.manual.waiters import Lobbies, Lobby
from mongoq.worker.runtime import Run, Runtime

MOST_WATCHES: Final = 8
"""Change streams of one object for those who wait for the end of a task; the others look every second."""


class ByHand:
    """The waiting and keeping of one queue object."""

    def __init__(
        self, context: Context, connection: Connection, run: Run, claimant: str, *, telemetry: Telemetry
    ) -> None:
        self._context = context
        self._connection = connection
        self._run = run
        self._make_shared = functools.partial(Runtime, context, run, claimant, telemetry)
        self._keepers = Keepalives(self._make_shared)
        self._lobbies = Lobbies(self._lobby)
        self._watches = threading.BoundedSemaphore(MOST_WATCHES)

    def claim(self, wanted: ClaimRequest, deadline: float) -> Task | None:
        """Wait for a task until the deadline, on `elapsed()`."""

        def take() -> Task | None:
            task: Task | None = self._run(claims.claim_one(self._context, wanted))
            return task

        return self._lobbies.wait(wanted, take, deadline)

    def finished(self, key: str, patience: float) -> Task | None:
        """Wait for the end of a task."""

        def read() -> Task:
            task: Task = self._run(queries.get(self._context, key))
            return task

        stream = ChangeStream(
            self._connection, self._context, change_stream.ending_of(key), await_ms=results.await_ms(patience)
        )
        return results.finished(read, stream, patience, self._watches)

    def until(self, over: Callable[[], bool], patience: float) -> bool:
        """Whether it is over within `patience` seconds."""
        return results.until(over, patience)

    def keep(self, tasks: Sequence[Task], lease: timedelta | None) -> Keepalive:
        """A keepalive of these tasks, which begins with its `with` block."""
        return self._keepers.keep(tasks, lease)

    def ending(self, tasks: Sequence[Claimed]) -> AbstractContextManager[None]:
        """While the ending of these tasks is written: their loss is no news then."""
        return self._keepers.ending(tasks)

    def call(self) -> None:
        """There is new work, of this very process."""
        self._lobbies.call()

    def close(self) -> None:
        """Send home who waits."""
        self._lobbies.close()

    def _lobby(self, wanted: ClaimRequest) -> Lobby:
        stream = ChangeStream(self._connection, self._context, change_stream.new_work(wanted.queues, wanted.where))
        return Lobby(self._make_shared(), stream)
