"""Reads the signals for this process, and passes on what they ask for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Protocol

from mongoq.core.errors import StorageError
from mongoq.core.fleet import Signal, SignalKind
from mongoq.storage.operations.fleet.signals import NO_TAIL
from mongoq.worker.fleet.view import FleetView
from mongoq.worker.runtime import Runtime
from mongoq.worker.stages import Wake

log = logging.getLogger("mongoq.worker")

OPEN_EVERY: Final = 1.0
"""Seconds between two openings: a collection that is dropped or overwritten again and again must not be a busy loop."""


class Signals(Protocol):
    """What the service needs of `storage.drivers.streaming.signal_tail.SignalTail`."""

    @property
    def open(self) -> bool: ...  # noqa: D102
    def begin(self) -> None: ...  # noqa: D102
    def next(self) -> Signal | None: ...  # noqa: D102
    def end(self) -> None: ...  # noqa: D102


class Tail:
    """The service of the signals: `called` gets those of work in its queues, `ask` those of missing watchers.

    `ordered` is called for those of orders, `scheduled` for those of schedules.

    After each opening it lets the process look for work, and whether it is to watch: what was signalled before is not
    told again.
    """

    def __init__(
        self,
        runtime: Runtime,
        view: FleetView,
        cursor: Signals,
        *,
        called: Callable[[Signal], None],
        ask: Callable[[], None],
        ordered: Callable[[], None] = lambda: None,
        scheduled: Callable[[], None] = lambda: None,
    ) -> None:
        self._runtime = runtime
        self._view = view
        self._cursor = cursor
        self._called = called
        self._ask = ask
        self._ordered = ordered
        self._scheduled = scheduled
        self._possible = True
        self._open_at = float("-inf")

    def step(self, now: float) -> float | None:
        """Wait for one signal."""
        if not self._possible:
            return None
        if not self._cursor.open:
            return self._begin(now)
        signal = self._cursor.next()
        if signal is None:
            return 0
        if signal.kind is SignalKind.WATCH:
            self._ask()
        elif signal.kind is SignalKind.ORDERS:
            self._ordered()
        elif signal.kind is SignalKind.SCHEDULES:
            self._scheduled()
        elif not self._queues.isdisjoint(signal.queues):
            self._called(signal)
        return 0

    def end(self) -> None:
        """Read no more. For the thread that steps."""
        self._cursor.end()

    @property
    def _queues(self) -> set[str]:
        return set(self._view.queues)

    def _begin(self, now: float) -> float | None:
        if now < self._open_at:
            return self._open_at - now
        try:
            self._cursor.begin()
        except StorageError as error:
            # A cursor that breaks off is opened anew at once, so nobody needs another part before that has failed.
            self._settle(tailing=False)
            if error.code not in NO_TAIL:
                raise
            log.info("no signals can be read here (code %s): this worker watches for work by itself", error.code)
            self._possible = False
            return None
        self._open_at = now + OPEN_EVERY
        self._settle(tailing=True)
        self._runtime.wake(Wake.WORK)
        self._ordered()
        self._scheduled()
        return 0

    def _settle(self, *, tailing: bool) -> None:
        view = self._view
        known = view.settled and view.tailing == tailing
        view.settled, view.tailing = True, tailing
        if not known or tailing:
            self._ask()
