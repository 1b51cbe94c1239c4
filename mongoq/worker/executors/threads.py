"""The thread executor: handlers in a pool of daemon threads.

What it can stop: a handler that asks (`task.cancelled`, `task.time_left()`), and at its deadline any handler
that runs Python code, by raising `DeadlineExceeded` in its thread. Not while it is inside a module that holds locks
(`threading`, `logging`, `queue`, the driver: `frames.UNSAFE`), where one might stay held for ever; a lock of the
handler's own may, so prefer processes for hard deadlines. What it cannot: a call that blocks outside Python; such a
handler keeps its slot, and its lease is renewed, until it returns.
"""

from __future__ import annotations

import contextvars
import ctypes
import logging
import threading
from typing import Any, Final

from mongoq.core.host.limits import Crew
from mongoq.core.judging.verdict import NO_RESULT, Outcome, Raised, Returned
from mongoq.core.signals import DeadlineExceeded, Interruption
from mongoq.worker.attempt import FOREVER
from mongoq.worker.executors.base import Reports, Unit, execute
from mongoq.worker.executors.frames import frame_of, may_strike, place
from mongoq.worker.handlers.signature import Handler, patched_by

log = logging.getLogger("mongoq.worker")

LOOK_OFTEN: Final = 0.005
"""Seconds between looks at a handler that must stop and is where it may hold a lock."""


class ThreadExecutor:
    """Runs attempts, the first submitted first."""

    def __init__(self, handler: Handler, workers: int, reports: Reports) -> None:
        self._handler = handler
        self._reports = reports
        self._waiting = reports.waiting
        self._running: dict[int, Unit] = {}
        self._changed = threading.Condition()
        self._injecting = threading.Lock()
        self._closed = False
        self._threads = Crew(self._work, "mongoq-handler", workers)

    @property
    def ready(self) -> int:
        """How many handlers can run at once just now."""
        return len(self._threads)

    def start(self) -> None:
        """Begin."""
        patched = patched_by()
        if patched is not None:
            log.warning("%s has patched threads: handlers are told of their deadline, it interrupts none", patched)
        self._threads.start()

    def submit(self, attempts: list[Any]) -> None:
        """Run these as soon as there is a thread for each; suspects before the others."""
        with self._changed:
            self._waiting.put(attempts)
            self._changed.notify(len(attempts))

    def follow(self, attempts: list[Any]) -> None:
        """Do as `submit`, from the thread of a handler that has just ended: it takes the first itself."""
        self._waiting.put(attempts)
        if len(attempts) > 1:
            with self._changed:
                self._changed.notify(len(attempts) - 1)

    def drain(self) -> list[Any]:
        """Take back what has not started."""
        return self._waiting.drain()

    def close(self) -> None:
        """Let the threads end when they are idle; a handler that still runs is left to itself."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def step(self, now: float) -> float:
        """Interrupt what runs beyond its deadline; the seconds until the next deadline."""
        self._threads.grow()
        soonest = 1.0
        for ident, attempt in list(self._running.items()):
            left = attempt.deadline_at - now
            if left > 0:
                soonest = min(soonest, left)
            elif not attempt.deadline_raised:
                attempt.interrupt(Interruption.DEADLINE)
                self._raise_in(ident, attempt)
                if not attempt.deadline_raised:
                    soonest = LOOK_OFTEN
        return soonest

    def where(self, attempt: Unit) -> str:
        """Where its handler stands, for a log line."""
        for ident, running in list(self._running.items()):
            if running is attempt:
                return place(frame_of(ident))
        return "between two handlers"

    def _work(self) -> None:
        while True:
            attempt = None
            try:
                attempt = self._next()
                if attempt is None:
                    return
                execute(attempt, self._perform, self._reports)
            except BaseException as error:
                # A deadline that struck beside the handler, or a fault of our own: no attempt is left without an end.
                if not isinstance(error, DeadlineExceeded):
                    log.exception("a handler thread went on after an error of its own")
                if attempt is not None:
                    self._reports.ended(attempt, Raised(error), 0.0)
            finally:
                self._running.pop(threading.get_ident(), None)

    def _next(self) -> Unit | None:
        while True:
            attempt: Unit | None = self._waiting.next()
            if attempt is not None:
                self._running[threading.get_ident()] = attempt
                return attempt
            with self._changed:
                if self._closed:
                    return None
                if not len(self._waiting):
                    self._changed.wait()

    def _perform(self, attempt: Unit) -> Outcome:
        attempt.start()
        if attempt.deadline_at == FOREVER:
            return self._call(attempt)
        self._reports.look()
        return self._call_until_deadline(attempt)

    def _call(self, attempt: Unit) -> Outcome:
        try:
            # An empty context each: what one task sets (a ContextVar, decimal's precision) is not there for the next.
            result = contextvars.Context().run(self._handler, attempt.task)
            return NO_RESULT if result is None else Returned(result)
        except BaseException as error:  # noqa: BLE001 -- whatever a handler raises is its outcome
            return Raised(error)

    def _call_until_deadline(self, attempt: Unit) -> Outcome:
        try:
            try:
                return Returned(contextvars.Context().run(self._handler, attempt.task))
            finally:
                self._safe_from_here(threading.get_ident())
        except BaseException as error:  # noqa: BLE001 -- as above
            return Raised(error)

    def _raise_in(self, ident: int, attempt: Unit) -> None:
        """Raise at the deadline, but not where that might leave a lock held: then at one of the next looks."""
        with self._injecting:
            if self._running.get(ident) is attempt and may_strike(frame_of(ident)):
                attempt.deadline_raised = True
                _set_async_exception(ident, DeadlineExceeded)

    def _safe_from_here(self, ident: int) -> None:
        """Let no deadline strike this thread any more, neither one to come nor one on its way."""
        with self._injecting:
            self._running.pop(ident, None)
            _set_async_exception(ident, None)


def _set_async_exception(ident: int, error: type[BaseException] | None) -> None:
    target: Any = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), target)
