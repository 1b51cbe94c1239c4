"""Bring typed events to listeners, in a thread of their own.

The threads of a worker only note an event: a listener that is slow, stuck or broken holds no handler, no renewal and no
stop. Without a listener of its kind an event costs one look-up.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from mongoq.core.events import Signpost
from mongoq.core.judging.verdict import Verdict
from mongoq.core.lifecycle import Event, TaskState
from mongoq.core.listening import kinds
from mongoq.core.listening.kinds import QueueEvent
from mongoq.core.listening.thread import DeliveryThread
from mongoq.core.validation import Checker

log = logging.getLogger("mongoq.telemetry")

FINAL: Final[Mapping[Event, TaskState]] = {
    Event.COMPLETE: TaskState.COMPLETED,
    Event.FAIL: TaskState.FAILED,
    Event.CANCEL: TaskState.CANCELLED,
    Event.EXPIRE: TaskState.EXPIRED,
}

Listener = Callable[[Any], object]
Fields = Mapping[str, Any]


class Listeners:
    """Who listens for which events of a queue."""

    def __init__(self) -> None:
        self._listeners: tuple[tuple[type[QueueEvent], Listener], ...] = ()
        self._lock = threading.Lock()
        self._thread = DeliveryThread("mongoq-listeners", self._tell)
        self.settle = self._thread.settle
        """`settle(timeout)`: wait until the events so far were delivered; whether they were in time."""

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def add(self, kind: type[QueueEvent], listener: Listener) -> Callable[[], None]:
        """Call `listener(event)` for each event of this kind; call the returned function to end that."""
        entry = (kind, listener)
        with self._lock:
            self._listeners = (*self._listeners, entry)
        return lambda: self._remove(entry)

    def note(self, name: str, fields: Fields) -> None:
        """Note what telemetry tells, as the events that somebody listens for. Never blocks."""
        make = _MADE_OF.get(name)
        if make is None:
            return
        for made in make(fields):
            if any(isinstance(made, kind) for kind, _ in self._listeners):
                self._thread.put(made)

    def _remove(self, entry: tuple[type[QueueEvent], Listener]) -> None:
        with self._lock:
            self._listeners = tuple(known for known in self._listeners if known is not entry)

    def _tell(self, event: QueueEvent) -> None:
        for kind, listener in self._listeners:
            if isinstance(event, kind):
                try:
                    listener(event)
                except Exception:
                    log.exception("a listener of %s failed: %r", kind.__name__, listener)


def check_listener(kind: Any, listener: Any) -> None:
    """ConfigurationError where nothing could be told to a listener."""
    checker = Checker()
    if not (isinstance(kind, type) and issubclass(kind, QueueEvent)):
        checker.refuse("kind", kind, "a class of mongoq.events, such as AttemptFailed")
    if not callable(listener):
        checker.refuse("listener", listener, "a function of the event")
    elif inspect.iscoroutinefunction(listener):
        checker.refuse("listener", listener, "a plain function: it is called in a thread that has no event loop")
    checker.finish()


def _ended(fields: Fields) -> Iterator[QueueEvent]:
    verdict: Verdict = fields["verdict"]
    about = fields["task"], str(verdict.event), verdict.run_at, verdict.note
    if verdict.error is not None:
        yield kinds.AttemptFailed(*about, verdict.error, verdict.failure)
    elif verdict.event is Event.COMPLETE:
        yield kinds.AttemptSucceeded(*about, verdict.result)
    else:
        yield kinds.AttemptEnded(*about)


def _finished(fields: Fields) -> Iterator[QueueEvent]:
    for task, verdict in fields["endings"]:
        state = FINAL.get(verdict.event)
        if state is not None:
            yield kinds.TaskEnded(task, state, verdict.result, verdict.error, verdict.failure, verdict.note)


def _as(kind: type[QueueEvent]) -> Callable[[Fields], Iterator[QueueEvent]]:
    return lambda fields: iter([kind(**fields)])


_MADE_OF: Final[Mapping[str, Callable[[Fields], Iterator[QueueEvent]]]] = {
    Signpost.WORKER_STARTED: _as(kinds.WorkerStarted),
    Signpost.WORKER_STOPPED: _as(kinds.WorkerStopped),
    Signpost.STARTED: _as(kinds.AttemptStarted),
    Signpost.ENDED: _ended,
    Signpost.REFUSED: _as(kinds.EndingRefused),
    Signpost.FINISHED: _finished,
    Signpost.LEASE_LOST: lambda fields: iter([kinds.AttemptLost(fields["key"])]),
    Signpost.SWEPT: _as(kinds.TasksSwept),
    Signpost.STORAGE_LOST: _as(kinds.ServerLost),
    Signpost.STORAGE_BACK: _as(kinds.ServerBack),
}
"""What is made of each of telemetry's events; the others are of no use to an application."""
