"""Events of a queue: for metrics, application logs, and tests that wait for something.

A listener is called in the thread of the event, so it should be quick. An exception that it raises is logged and
dropped. Events of the threads that renew leases, write endings or stop a worker are delivered by a thread of their own:
a listener that is stuck must not stop these. Without listeners an event costs one attribute look-up. Exporters are not
part of this module.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

from mongoq.core.listening.thread import DeliveryThread

__all__ = ["Listener", "Signpost", "Telemetry", "deferring"]

log = logging.getLogger("mongoq.telemetry")

Listener = Callable[[str, Mapping[str, Any]], None]

_here = threading.local()


@contextmanager
def deferring() -> Iterator[None]:
    """In here this thread waits for no listener: another one brings its events, in their order."""
    before, _here.deferring = getattr(_here, "deferring", False), True
    try:
        yield
    finally:
        _here.deferring = before


class Signpost(StrEnum):
    """The names of the events, and the fields of each."""

    WORKER_STARTED = "worker.started"
    """worker: its name in the fleet."""
    WORKER_STOPPED = "worker.stopped"
    """worker, error: what ended it, or None."""
    ENQUEUED = "tasks.enqueued"
    """lines: how many tasks this object has enqueued, by queue and name."""
    CLAIMED = "tasks.claimed"
    """tasks: the tasks now held; wanted: how many were asked for; lost: how many another claimant took; blocked: how
    many an open transaction holds.

    sent: when the claim was sent, on `mongoq.core.clock.elapsed`; doubtful: whether replies were lost.
    """
    CLAIMS_LOST = "claims.lost"
    """count: how many tasks that a claim wanted another claimant took first."""
    SUMMED = "attempts.summed"
    """sums, counts, ticks: what the attempts of a worker did since the last such event: see `Tally`."""
    RENEWED = "tasks.renewed"
    """tasks: the tasks whose leases were renewed; until: when the leases end, on `elapsed`."""
    STARTED = "task.started"
    """task: its handler starts now."""
    ENDED = "task.ended"
    """task, verdict: its handler ended; the verdict is not written yet."""
    REFUSED = "task.refused"
    """task, error: its ending was refused, because of the change or the result that its handler returned."""
    FINISHED = "tasks.finished"
    """count: how many endings were written; endings: each task with its verdict."""
    LEASE_LOST = "task.lease_lost"
    """key, task: another claimant took the task, or its lease could not be renewed in time."""
    SWEPT = "tasks.swept"
    """promoted, rescued, expired: how many tasks a sweep moved; ticked: how many schedules enqueued."""
    WATCHING = "wakeups.watching"
    """The worker is idle and watches a change stream for wake-ups."""
    SLEEPING = "wakeups.sleeping"
    """The worker is idle, and sleeps until another one calls it."""
    CALLED = "wakeups.called"
    """queue, count: the worker has called so many others to this queue."""
    TRANSACTION_REPEATED = "transaction.repeated"
    """error: why a transaction of mongoq is run again: a write conflict, or a lost primary.

    Transactions are used by `modify`, by a completion with a change, and at the beginning of `transaction`. The server
    itself retries single writes, claims among them, after a conflict, and counts these in its `serverStatus`
    (`metrics.operation.writeConflicts`).
    """
    STORAGE_LOST = "storage.lost"
    """error: MongoDB does not answer; the worker keeps trying."""
    STORAGE_BACK = "storage.back"
    """seconds: MongoDB answers again, after this outage."""


class Telemetry:
    """Delivers the events of one queue to its listeners."""

    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()
        self._quick: tuple[tuple[Listener, Callable[[float], bool]], ...] = ()
        self._aside: tuple[Listener, ...] = ()
        self._thread = DeliveryThread("mongoq-events", self._tell)

    def __bool__(self) -> bool:
        return bool(self._listeners or self._quick)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(name, fields)` at every event from now on; call the returned function to unsubscribe."""
        self._listeners = (*self._listeners, listener)
        return lambda: self._unsubscribe(listener)

    @property
    def heard(self) -> bool:
        """Whether anybody listens, be it for rare events only."""
        return bool(self._listeners or self._quick or self._aside)

    @property
    def counted(self) -> bool:
        """Whether anybody listens for sums."""
        return bool(self._aside)

    def subscribe_aside(self, listener: Listener) -> Callable[[], None]:
        """As `subscribe`, for the sums and the rare events only: it makes no task any slower.

        These are ENQUEUED, SUMMED, CLAIMS_LOST, LEASE_LOST, REFUSED, SWEPT, STORAGE_LOST and STORAGE_BACK. It may be
        called in any thread at once, and never blocks.
        """
        self._aside = (*self._aside, listener)
        return lambda: self._end_aside(listener)

    def subscribe_quick(self, listener: Listener, settle: Callable[[float], bool]) -> None:
        """As `subscribe`, for good, and for one that never blocks: it is called in any thread at once.

        `settle` waits until what it was told so far has had its effect; whether it had in time.
        """
        self._quick = (*self._quick, (listener, settle))

    def emit(self, name: Signpost, **fields: Any) -> None:
        """Announce an event."""
        for aside in self._aside:
            try:
                aside(name.value, fields)
            except Exception:
                log.exception("a listener failed at %s", name.value)
        for listener, _ in self._quick:
            listener(name.value, fields)
        if self._listeners and getattr(_here, "deferring", False):
            self._thread.put(name, fields)
        else:
            self._tell(name, fields)

    def settle(self, timeout: float) -> bool:
        """Wait until the events so far were brought; whether they were in time."""
        until = time.monotonic() + timeout
        in_time = [settle(max(0.0, until - time.monotonic())) for _, settle in self._quick]
        return self._thread.settle(max(0.0, until - time.monotonic())) and all(in_time)

    def _tell(self, name: Signpost, fields: Mapping[str, Any]) -> None:
        for listener in self._listeners:
            try:
                listener(name.value, fields)
            except Exception:
                log.exception("a listener failed at %s", name.value)

    def _end_aside(self, listener: Listener) -> None:
        self._aside = tuple(known for known in self._aside if known is not listener)

    def _unsubscribe(self, listener: Listener) -> None:
        self._listeners = tuple(known for known in self._listeners if known is not listener)
