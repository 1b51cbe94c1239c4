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

from mongoq.arguments import Wanted
from mongoq.model import Task
from mongoq.storage import claiming, inspecting, wakeups
from mongoq.storage.connection import Connection
from mongoq.storage.context import Context
from mongoq.storage.wakeups import Wakeups
from mongoq.telemetry import Telemetry
from mongoq.work import outcome
from mongoq.work.keepalive import Claimed, Keepalive, Keepers
from mongoq.work.lobby import Lobbies, Lobby
from mongoq.work.shared import Run, Shared

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
        self._make_shared = functools.partial(Shared, context, run, claimant, telemetry)
        self._keepers = Keepers(self._make_shared)
        self._lobbies = Lobbies(self._lobby)
        self._watches = threading.BoundedSemaphore(MOST_WATCHES)

    def claim(self, wanted: Wanted, deadline: float) -> Task | None:
        """Wait for a task until the deadline, on `elapsed()`."""

        def take() -> Task | None:
            task: Task | None = self._run(claiming.claim_one(self._context, wanted))
            return task

        return self._lobbies.wait(wanted, take, deadline)

    def finished(self, key: str, patience: float) -> Task | None:
        """Wait for the end of a task."""

        def read() -> Task:
            task: Task = self._run(inspecting.get(self._context, key))
            return task

        stream = Wakeups(self._connection, self._context, wakeups.ending_of(key), await_ms=outcome.await_ms(patience))
        return outcome.finished(read, stream, patience, self._watches)

    def until(self, over: Callable[[], bool], patience: float) -> bool:
        """Whether it is over within `patience` seconds."""
        return outcome.until(over, patience)

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

    def _lobby(self, wanted: Wanted) -> Lobby:
        stream = Wakeups(self._connection, self._context, wakeups.new_work(wanted.queues, wanted.where))
        return Lobby(self._make_shared(), stream)
