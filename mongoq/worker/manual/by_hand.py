"""What those who claim and wait by hand share in one queue object: where they wait, and what they keep.

The queue makes it when it is first needed: a producer is spared the import of what a worker is made of.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta

from mongoq.core.events import Telemetry
from mongoq.core.requests import ClaimRequest
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import Op
from mongoq.storage.context import Context
from mongoq.storage.drivers.streaming.change_stream import ChangeStream
from mongoq.storage.operations.watch import new_work
from mongoq.worker.manual.keepalive import Claimed, Keepalive, Keepalives
from mongoq.worker.manual.results import Results
from mongoq.worker.manual.waiters import Places, Waiters
from mongoq.worker.runtime import Run, Runtime


class ByHand:
    """The waiting and keeping of one queue object.

    Its services run in threads over the engine's driver; who waits does so in the queue's own tempo.
    """

    def __init__(self, context: Context, stream_run: Run, run: Run, claimant: str, *, telemetry: Telemetry) -> None:
        self._context = context
        self._stream_run = stream_run
        self._make_runtime = functools.partial(Runtime, context, run, claimant, telemetry)
        self._keepalives = Keepalives(self._make_runtime)
        self._places = Places(self._place)
        self._results = Results(context, stream_run, run, telemetry=telemetry)

    def claim(self, wanted: ClaimRequest, take: Callable[[], Op[Task | None]], deadline: float) -> Op[Task | None]:
        """Wait for a task until the deadline, on `elapsed()`."""
        return self._places.wait(wanted, take, deadline)

    def finished(self, key: str, read: Callable[[], Op[Task]], deadline: float) -> Op[Task | None]:
        """Wait for the end of a task until the deadline, on `elapsed()`."""
        return self._results.finished(key, read, deadline)

    def keep(self, tasks: Sequence[Task], lease: timedelta | None) -> Keepalive:
        """A keepalive of these tasks, which is yet to begin."""
        return self._keepalives.keep(tasks, lease)

    def ending(self, tasks: Sequence[Claimed]) -> AbstractContextManager[None]:
        """While the ending of these tasks is written: their loss is no news then."""
        return self._keepalives.ending(tasks)

    def call(self) -> None:
        """There is new work, of this very process."""
        self._places.notify()

    def close(self) -> None:
        """Let nobody wait any more."""
        self._places.close()
        self._results.close()

    def _place(self, wanted: ClaimRequest) -> Waiters:
        stream = ChangeStream(self._stream_run, self._context, new_work(wanted.queues, wanted.where))
        return Waiters(self._make_runtime(), stream)
