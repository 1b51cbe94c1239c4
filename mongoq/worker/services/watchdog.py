"""Lets the executor interrupt what runs too long, and gives back what waits behind handlers that do."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.dispatcher import Dispatcher
from mongoq.worker.ledger import Ledger
from mongoq.worker.stages import Stage

log = logging.getLogger("mongoq.worker")

STANDSTILL: Final = 300.0
"""Seconds for which all handlers may be busy without one that starts, until a log line says which they are."""
OVERRUN: Final = 10.0
"""Seconds beyond a deadline after which a handler that still runs is told of."""
MOST: Final = 5
"""Tasks that the line names."""

LONGEST_WAIT: Final = 1.0
"""Seconds for which prefetched tasks may wait while no handler starts; then they are released for other workers."""


class Watchdog:
    """The service that looks after deadlines and after what waits."""

    def __init__(self, ledger: Ledger, dispatcher: Dispatcher, *, also: Callable[[], object] = lambda: None) -> None:
        self._also = also
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._told: set[LiveAttempt] = set()
        """Those of which a log line has told."""
        self._seen: dict[LiveAttempt, float] = {}
        """Those that run, and since when it has been seen."""
        self._look_at = 0.0

    def step(self, now: float) -> float:
        """Look once; the seconds until the next look is due."""
        self._also()
        delay = min(self._dispatcher.submit_due(now), self._dispatcher.executor.step(now))
        self._dispatcher.release_stalled(now, LONGEST_WAIT)
        if self._ledger.active <= self._dispatcher.room.slots():
            self._ledger.started_at = now
        elif now - self._ledger.started_at > LONGEST_WAIT:
            self._dispatcher.prefetch.forget()
            self._dispatcher.release_waiting()
        self._tell_standstill(now)
        return min(delay, LONGEST_WAIT)

    def _tell_standstill(self, now: float) -> None:
        """One line where all handlers are busy and none has started for long, or where one has outrun its deadline."""
        if now < self._look_at:
            return
        self._look_at = now + OVERRUN
        ledger, where = self._ledger, self._dispatcher.executor.where
        running = [one for one in ledger.all() if one.stage is Stage.RUNNING]
        self._told.intersection_update(running)
        self._seen = {one: self._seen.get(one, now) for one in running}
        busy = len(running) >= self._dispatcher.room.slots()
        standstill = busy and now - max(self._seen.values(), default=now) > STANDSTILL
        stuck = [one for one in running if standstill or now - one.deadline_at > OVERRUN]
        stuck = sorted(set(stuck) - self._told, key=lambda one: one.claimed_at)
        if stuck:
            self._told.update(stuck)
            told = [f"{one.key}, claimed {now - one.claimed_at:.0f} s ago, in {where(one)}" for one in stuck[:MOST]]
            log.warning("handlers that make no progress (%d): %s", len(stuck), "; ".join(told))
