"""An executor whose handlers share what a lifespan opens: it has no room for a task until that is open.

The lifespan is entered in a thread of its own, or on the executor's event loop, so a slow one holds up neither a signal
nor a stop; one that fails ends the worker with its error, before any task is claimed.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import logging
import threading
from typing import Final

from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.executors.asyncio import AsyncioExecutor, is_running_here
from mongoq.worker.executors.base import Executor, Reports
from mongoq.worker.executors.threads import ThreadExecutor
from mongoq.worker.handlers.lifespan import Lifespan

log = logging.getLogger("mongoq.worker")

LAST_WORDS: Final = 0.5
"""Seconds that a lifespan has to close at least; it has what is left of the grace."""
LONGEST: Final = 10.0


class Opening(Executor):
    """Runs attempts by another executor, while a lifespan is open."""

    def __init__(self, inner: ThreadExecutor | AsyncioExecutor, lifespan: Lifespan, reports: Reports) -> None:
        self._inner = inner
        self._lifespan = lifespan
        self._reports = reports
        self._lock = threading.Lock()
        self._open = False
        self._closed = False
        self._living: concurrent.futures.Future[None] | None = None
        # An empty context: a session that the application bound must not be joined from here.
        run = contextvars.Context().run
        self._thread = threading.Thread(target=run, args=(self._enter,), name="mongoq-lifespan", daemon=True)

    @property
    def ready(self) -> int:
        """How many handlers can run at once just now: none while the lifespan is not open."""
        return self._inner.ready if self._open else 0

    def start(self) -> None:
        """Begin."""
        self._inner.start()
        self._thread.start()

    def submit(self, attempts: list[LiveAttempt]) -> None:
        """Run these as soon as there is room for each; suspects before the others."""
        self._inner.submit(attempts)

    def drain(self) -> list[LiveAttempt]:
        """Take back what has not started."""
        return self._inner.drain()

    def step(self, now: float) -> float:
        """Interrupt what must not go on; the seconds until the next look is due."""
        return self._inner.step(now)

    def where(self, attempt: LiveAttempt) -> str:
        """Where its handler stands, for a log line."""
        return self._inner.where(attempt)

    def close(self) -> None:
        """Close the lifespan, in what is left of the grace, and let go of everything."""
        patience = min(LONGEST, max(LAST_WORDS, self._reports.time_left()))
        with self._lock:
            self._closed = True
            opened = self._open
        if not opened:
            self._thread.join(patience if self._thread.is_alive() else 0)
        elif self._living is not None:
            self._end(self._living, patience)
        else:
            leaving = threading.Thread(target=self._lifespan.leave, name="mongoq-lifespan", daemon=True)
            leaving.start()
            leaving.join(patience)
        self._inner.close()

    def _enter(self) -> None:
        try:
            if self._lifespan.awaited:
                self._enter_on_loop()
            else:
                self._lifespan.enter()
        except BaseException as error:
            log.exception("the lifespan of the worker failed")
            self._reports.failed(error)
            return
        with self._lock:
            self._open = not self._closed
        if self._open:
            self._reports.more_ready()
        elif self._living is not None:
            self._end(self._living, LAST_WORDS)
        else:
            self._lifespan.leave()

    def _enter_on_loop(self) -> None:
        assert isinstance(self._inner, AsyncioExecutor)
        entered: concurrent.futures.Future[None] = concurrent.futures.Future()

        def note(error: BaseException | None) -> None:
            if error is None:
                entered.set_result(None)
            else:
                entered.set_exception(error)

        living = asyncio.run_coroutine_threadsafe(self._lifespan.live(note), self._inner.loop)
        entered.result()
        self._living = living

    def _end(self, living: concurrent.futures.Future[None], patience: float) -> None:
        assert isinstance(self._inner, AsyncioExecutor)
        if not self._inner.post(self._lifespan.end) or is_running_here(self._inner.loop):
            return  # on the loop itself nobody can wait for it
        try:
            living.result(patience)
        except TimeoutError:
            log.warning("the lifespan of the worker has not closed within %.1f s", patience)
