"""Lets the executor interrupt what runs too long, and gives back what waits behind handlers that do."""

from __future__ import annotations

from typing import Final

from mongoq.worker.dispatcher import Dispatcher
from mongoq.worker.ledger import Ledger

LONGEST_WAIT: Final = 1.0
"""Seconds for which prefetched tasks may wait while no handler starts; then they are released for other workers."""


class Watchdog:
    """The service that looks after deadlines and after what waits."""

    def __init__(self, ledger: Ledger, dispatcher: Dispatcher) -> None:
        self._ledger = ledger
        self._dispatcher = dispatcher

    def step(self, now: float) -> float:
        """Look once; the seconds until the next look is due."""
        delay = self._dispatcher.executor.step(now)
        if self._ledger.active <= self._dispatcher.room.slots():
            self._ledger.started_at = now
        elif now - self._ledger.started_at > LONGEST_WAIT:
            self._dispatcher.prefetch.forget()
            self._dispatcher.release_waiting()
        return min(delay, LONGEST_WAIT)
