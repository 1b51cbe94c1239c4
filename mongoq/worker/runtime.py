"""What the services of one worker share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from mongoq.core.clock import elapsed
from mongoq.core.events import Signpost, Telemetry, deferring
from mongoq.storage.context import Context
from mongoq.worker.ledger import Ledger
from mongoq.worker.limits.freed import Freed
from mongoq.worker.recording.tally import Tally
from mongoq.worker.stages import Wake

LAST_EVENTS: Final = 0.3
"""Seconds for which a worker that ends waits for its listeners."""
Run = Callable[[Any], Any]
"""Runs an operation and returns its result."""


def _nobody(_: Wake) -> None:
    """Wake nobody."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """The worker's surroundings, its name, what it holds, and whom a change wakes."""

    context: Context
    run: Run
    worker: str
    telemetry: Telemetry
    wake: Callable[[Wake], None] = _nobody
    """Called by whatever service finds that another one has something to do."""
    elapsed: Callable[[], float] = elapsed
    """The clock that leases and pauses are counted on; a step asks it only after a network call."""
    ledger: Ledger = field(default_factory=Ledger)
    tally: Tally = field(default_factory=Tally)
    """What its attempts did, until that is written."""
    freed: Freed = field(default_factory=Freed)
    """What came free for parked tasks, until the next claim gives it to them."""

    def tell_stopped(self, error: BaseException | None) -> None:
        """Tell that the worker has ended, and wait a moment for the listeners."""
        with deferring():
            self.telemetry.emit(Signpost.WORKER_STOPPED, worker=self.worker, error=error)
        self.telemetry.settle(LAST_EVENTS)
