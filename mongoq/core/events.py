"""Events of a queue: for metrics, application logs, and tests that wait for something.

A listener is called in the thread of the event, so it should be quick. An exception that it raises is logged and
dropped. Without listeners an event costs one attribute look-up. Exporters are not part of this module.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

__all__ = ["Listener", "Signpost", "Telemetry"]

log = logging.getLogger("mongoq.telemetry")

Listener = Callable[[str, Mapping[str, Any]], None]


class Signpost(StrEnum):
    """The names of the events, and the fields of each."""

    CLAIMED = "tasks.claimed"
    """tasks: the tasks now held; wanted: how many were asked for; lost: how many another claimant took; blocked: how
    many an open transaction holds.

    sent: when the claim was sent, on `mongoq.core.clock.elapsed`; doubtful: whether replies were lost.
    """
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
    """key: another claimant took the task, or its lease could not be renewed in time."""
    SWEPT = "tasks.swept"
    """promoted, rescued, expired: how many tasks a sweep moved."""
    WATCHING = "wakeups.watching"
    """The worker is idle and watches a change stream for wake-ups."""
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

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(name, fields)` at every event from now on; call the returned function to unsubscribe."""
        self._listeners = (*self._listeners, listener)
        return lambda: self._unsubscribe(listener)

    def emit(self, name: Signpost, **fields: Any) -> None:
        """Deliver an event to the listeners."""
        for listener in self._listeners:
            try:
                listener(name.value, fields)
            except Exception:
                log.exception("a listener failed at %s", name.value)

    def _unsubscribe(self, listener: Listener) -> None:
        self._listeners = tuple(known for known in self._listeners if known is not listener)
