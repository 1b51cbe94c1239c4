"""The loop that runs a service: waiting, errors and shutdown, once for all of them.

A service never ends a worker: when MongoDB does not answer, its loop pauses (growing, jittered, at most 5 s)
and tries again, for as long as it takes. `Health` is shared by the loops of a process, so that a log shows one
line when the server is lost and one when it is back, not one per loop and try.
"""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from typing import Final

from mongoq.core.clock import elapsed
from mongoq.core.errors import QueueClosed, StorageError
from mongoq.core.events import Signpost, Telemetry, deferring
from mongoq.core.host.limits import NO_MORE, OWN_LIMITS, starts
from mongoq.core.judging.backoff import Exponential

log = logging.getLogger("mongoq.worker")

PAUSE: Final = Exponential(timedelta(milliseconds=100), factor=2, max=timedelta(seconds=5))

STUCK: Final = 150.0
"""Seconds: a step gives up on a server that does not answer long before."""

Clock = Callable[[], float]
Step = Callable[[float], float | None]
"""Does what is to be done at this instant; returns the seconds until it wants to be called again, None: when woken."""


class Health:
    """Whether MongoDB answers, as this process sees it."""

    def __init__(self, telemetry: Telemetry, clock: Clock = elapsed) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._lock = threading.Lock()
        self._lost: set[str] = set()
        self._since: float | None = None
        self._limit: str | None = None
        """The limit of this process that has been told of since."""

    def ill(self, who: str, error: StorageError) -> None:
        """Note that `who` got no answer."""
        with self._lock:
            self._lost.add(who)
            first = self._since is None
            if first:
                self._since = self._clock()
            limit = str(error) if str(error) in OWN_LIMITS else None
            told = limit is None or limit == self._limit
            self._limit = limit or self._limit
        if not told:
            log.error("%s; it goes on trying", error)
        elif first and limit is None:
            log.warning("MongoDB is not working for this worker: %s; it goes on trying", error)
        if first:
            self._telemetry.emit(Signpost.STORAGE_LOST, error=error)

    def well(self, who: str) -> None:
        """Note that `who` got an answer; the trouble is over when everybody did."""
        if who not in self._lost:
            return
        with self._lock:
            self._lost.discard(who)
            since = self._since
            if self._lost or since is None:
                return
            self._since = self._limit = None
        seconds = self._clock() - since
        log.warning("MongoDB works again after %.1f s", seconds)
        self._telemetry.emit(Signpost.STORAGE_BACK, seconds=seconds)


class Loop:
    """Calls a service's step in a thread of its own until it is stopped; `clock` tells each step the time.

    Where the queue or its client was closed it calls `closed` and ends: nothing can be done any more. `last` is called
    at its end in any case, in its own thread. With `defers` it waits for no listener.
    """

    def __init__(
        self,
        name: str,
        step: Step,
        health: Health,
        closed: Callable[[], None] = lambda: None,
        *,
        last: Callable[[], None] = lambda: None,
        clock: Clock = elapsed,
        defers: bool = False,
    ) -> None:
        self.name = name
        self._step = step
        self._closed = closed
        self._last = last
        self._clock = clock
        self._health = health
        self._defers = defers
        self._stepping = threading.Lock()
        self.began: float | None = None
        """When the step under way began; None: there is none."""
        self.well_at = float("-inf")
        """When it last ended a step without an error."""
        self._wake = threading.Event()
        self._stopping = threading.Event()
        # An empty context: a session that the application bound must not be joined from here.
        run = contextvars.Context().run
        self._thread = threading.Thread(target=run, args=(self._run,), name=f"mongoq-{name}", daemon=True)

    def start(self) -> None:
        """Begin. RuntimeError where there is no thread for it."""
        if not starts.begin(self._thread):
            raise RuntimeError(f"can't start new thread: {NO_MORE}")

    @property
    def turns(self) -> bool:
        """Whether its thread lives, and is not stuck in a step."""
        began = self.began
        alive = self._thread.ident is None or self._thread.is_alive()  # it is about to begin, or it lives
        return alive and (began is None or self._clock() - began < STUCK)

    def wake(self) -> None:
        """Step now instead of later."""
        if not self._wake.is_set():
            self._wake.set()

    def step_here(self) -> None:
        """Step in the calling thread, which spares the 0.1 to 0.4 ms that the loop's own takes to wake.

        Where a step is under way, is to follow at once or has failed, the loop's own thread goes on.
        """
        if not self._stepping.acquire(blocking=False):
            self.wake()
            return
        try:
            if not self._stopping.is_set() and self._step(self._clock()) == 0:
                self.wake()
        except Exception:  # noqa: BLE001 -- the loop's own thread meets it again, and knows what to do
            self.wake()
        finally:
            self._stepping.release()

    def stop(self) -> None:
        """Step no more; what is under way ends."""
        self._stopping.set()
        self._wake.set()

    def join(self, timeout: float) -> bool:
        """Wait until the last step has ended; whether it has, or there was none."""
        if self._thread.ident is not None:
            until = elapsed() + max(0.0, timeout)
            self._thread.join(max(0.0, timeout))
            if not self._stepping.acquire(timeout=max(0.0, until - elapsed())):
                return False
            self._stepping.release()
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            with deferring() if self._defers else nullcontext():
                self._step_on()
        finally:
            self._last()

    def _step_on(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                with self._stepping:
                    self.began = now = self._clock()
                    delay = None if self._stopping.is_set() else self._step(now)
            except StorageError as error:
                if self._stopping.is_set():
                    return  # the client was closed under a long wait
                self._health.ill(self.name, error)
            except QueueClosed:
                self._closed()
                return
            except Exception:
                log.exception("the %s failed; it goes on", self.name)
            else:
                self._health.well(self.name)
                self.well_at, self.began = self._clock(), None
                failures = 0
                self._wake.wait(delay)
                continue
            self.began = None
            failures += 1
            self._stopping.wait(PAUSE.delay(failures).total_seconds())
