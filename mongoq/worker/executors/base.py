"""Where handlers run. The engine sees an executor only through this protocol.

threads     a pool of threads; stops Python code at its deadline, not a call that blocks outside Python
asyncio     tasks on one event loop; cancels what awaits, not what blocks the loop, which stops all the others
processes   one child process per worker; stops anything by killing its process, which is replaced
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from mongoq.core.judging.verdict import Outcome
from mongoq.worker import forks
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.executors.batch import Batch
from mongoq.worker.executors.waiting import Waiting

Unit = LiveAttempt | Batch
"""What one call of a handler runs."""


@dataclass(frozen=True, slots=True)
class Reports:
    """What an executor tells the engine; may be called from any thread.

    Of an attempt, or of a `Batch` that `Batching` runs as one.
    """

    started: Callable[[Any], bool]
    """Its handler is about to start; False forbids it, and the attempt is then no longer the executor's."""
    ended: Callable[..., None]
    """`ended(attempt, outcome, seconds)`: its handler has ended after so many seconds, or will never end."""
    running: Callable[[Any], object] = lambda _: None
    """Its handler has started already, elsewhere: to release it now would run it twice."""
    look: Callable[[], None] = lambda: None
    """`step` is wanted now: there is a new deadline."""
    more_ready: Callable[[], None] = lambda: None
    """`ready` has grown."""
    failed: Callable[[BaseException], object] = lambda _: None
    """No handler can run: the worker is to end with this error."""
    time_left: Callable[[], float] = lambda: 0.0
    """Seconds that are left of a stopping worker's grace."""
    waiting: Waiting[Any] = field(default_factory=Waiting)
    """Where the executor keeps what waits for a handler; the ledger's, where a worker uses it."""


def execute(attempt: Unit, perform: Callable[[Any], Outcome], reports: Reports) -> None:
    """Run one claimed task: start, perform, hand over. `perform` never raises what its handler does."""
    if not reports.started(attempt):  # its lease was lost, or a cancel or a stop came first
        return
    began, generation = time.perf_counter(), forks.generation()
    outcome = perform(attempt)
    if forks.generation() != generation:
        forks.leave(outcome)
    reports.ended(attempt, outcome, time.perf_counter() - began)


class Executor(Protocol):
    """Runs attempts, the first submitted first."""

    @property
    def ready(self) -> int:
        """How many handlers can run at once just now."""

    def start(self) -> None:
        """Begin."""

    def submit(self, attempts: list[LiveAttempt]) -> None:
        """Run these as soon as there is room for each; suspects before the others."""

    def drain(self) -> list[LiveAttempt]:
        """Take back what has not started; a later `submit` is as good as the first."""

    def step(self, now: float) -> float:
        """Interrupt what must not go on; the seconds until the next look is due. Called in a loop of its own."""

    def where(self, attempt: LiveAttempt) -> str:
        """Where its handler stands, for a log line."""

    def close(self) -> None:
        """Let go of everything: no attempt is open any more."""
