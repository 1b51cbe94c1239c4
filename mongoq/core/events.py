"""What happens inside, as events: for metrics, logs of one's own, and tests that wait for something.

There are no exporters here. A listener is called in the thread in which the event happens, so it should be
quick; what it raises is logged and forgotten. Without listeners an event costs one attribute look-up. Events of the
threads that renew leases, write endings or stop a worker are brought by a thread of their own: one that is stuck in a
listener must not stop these.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Final

__all__ = ["Listener", "Signpost", "Telemetry", "deferring"]

log = logging.getLogger("mongoq.telemetry")

Listener = Callable[[str, Mapping[str, Any]], None]

MOST: Final = 1_000
"""Events that may wait for a listener; those beyond are lost, and a log line tells how many."""
IDLE: Final = 5.0
"""Seconds after which the thread that brings events ends."""
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
    """The names of the events, and what each brings."""

    CLAIMED = "tasks.claimed"
    """tasks: those now held; wanted: how many were asked for; lost: how many went to another claimant; blocked: how
    many an open transaction held.

    sent: when it was sent, on `mongoq.core.clock.elapsed`; doubtful: whether replies were missing.
    """
    RENEWED = "tasks.renewed"
    """tasks: those whose leases were renewed; until: how long this process counts on them, on `elapsed`."""
    STARTED = "task.started"
    """task: its handler starts now."""
    ENDED = "task.ended"
    """task, verdict: its handler ended; nothing is written yet."""
    REFUSED = "task.refused"
    """task, error: its ending was refused with what its handler returned, a change or a result that does not fit."""
    FINISHED = "tasks.finished"
    """count: so many endings were written; endings: each task with its verdict."""
    LEASE_LOST = "task.lease_lost"
    """key: the task went to another claimant, or its lease could not be renewed in time."""
    SWEPT = "tasks.swept"
    """promoted, rescued, expired: how many tasks a sweep moved."""
    WATCHING = "wakeups.watching"
    """The worker is idle and listens for news of work."""
    TRANSACTION_REPEATED = "transaction.repeated"
    """error: why a transaction of mongoq's own (`modify`, what follows a completion, the beginning of `transaction`) is
    run again: another write met it, or its primary was lost.

    These are the write conflicts that mongoq sees. After those of single writes, claims among them, the server tries
    again by itself, and counts them in its `serverStatus` (`metrics.operation.writeConflicts`).
    """
    STORAGE_LOST = "storage.lost"
    """error: MongoDB does not answer; the worker goes on trying."""
    STORAGE_BACK = "storage.back"
    """seconds: MongoDB answers again after so long."""


class Telemetry:
    """Where the events of one queue are announced."""

    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()
        self._lock = threading.Lock()
        self._waiting: queue.Queue[tuple[Signpost, Mapping[str, Any]] | threading.Event] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._lost = 0

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(name, fields)` at every event from now on; returns what ends it."""
        self._listeners = (*self._listeners, listener)
        return lambda: self._unsubscribe(listener)

    def emit(self, name: Signpost, **fields: Any) -> None:
        """Announce an event."""
        if self._listeners and getattr(_here, "deferring", False):
            self._defer((name, fields))
        else:
            self._tell(name, fields)

    def settle(self, timeout: float) -> bool:
        """Wait until the events so far were brought; whether they were in time."""
        if self._thread is None:
            return True
        brought = threading.Event()
        self._defer(brought)
        return brought.wait(timeout)

    def _defer(self, item: tuple[Signpost, Mapping[str, Any]] | threading.Event) -> None:
        with self._lock:
            if self._waiting.qsize() >= MOST:
                self._lost += 1
                return
            self._waiting.put(item)
            if self._thread is None:
                self._thread = threading.Thread(target=self._bring, name="mongoq-events", daemon=True)
                self._thread.start()

    def _bring(self) -> None:
        while True:
            try:
                item = self._waiting.get(timeout=IDLE)
            except queue.Empty:
                with self._lock:
                    if not self._waiting.empty():
                        continue
                    self._thread = None
                    return
            if isinstance(item, threading.Event):
                item.set()
                continue
            self._tell(*item)
            lost, self._lost = self._lost, 0
            if lost:
                log.warning("%d events were lost: a listener was too slow for them", lost)

    def _tell(self, name: Signpost, fields: Mapping[str, Any]) -> None:
        for listener in self._listeners:
            try:
                listener(name.value, fields)
            except Exception:
                log.exception("a listener failed at %s", name.value)

    def _unsubscribe(self, listener: Listener) -> None:
        self._listeners = tuple(known for known in self._listeners if known is not listener)
