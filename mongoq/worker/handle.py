"""Running workers: in the background with a handle, or in the foreground until a signal comes."""

from __future__ import annotations

import logging
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final

from mongoq.core.clock import elapsed
from mongoq.core.host.health import WorkerHealth
from mongoq.core.host.limits import starts
from mongoq.core.validation import Checker, Duration
from mongoq.storage.drivers.connection import leave_monitors
from mongoq.worker import forks
from mongoq.worker.engine import Engine
from mongoq.worker.fleet.health import health_of
from mongoq.worker.leaving import leave_threads
from mongoq.worker.log_lines import lines
from mongoq.worker.services import interpreter
from mongoq.worker.stages import Stage, Wake

log = logging.getLogger("mongoq.worker")

AT_ONCE: Final = 0.5
LOOK_EVERY: Final = 0.5
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class WorkerHandle:
    """A worker that runs in the background of this process."""

    def __init__(self, engine: Engine, grace: float) -> None:
        self._engine = engine
        self._grace = grace
        self._generation = forks.generation()
        self.client: Any = None
        """The MongoDB client whose connections it uses."""

    @property
    def id(self) -> str:
        """The worker's name in the fleet: `host:pid:random`."""
        return self._engine.worker

    @property
    def stopped(self) -> bool:
        """Whether it has stopped; in a fork it never ran."""
        return self._elsewhere or self._engine.stopped.is_set()

    @property
    def error(self) -> BaseException | None:
        """What ended it: a handler's `Stop`, its lifespan, a refused change, or a newer mongoq."""
        return self._engine.error

    def health(self) -> WorkerHealth:
        """Tell whether it is alive and working. It does no I/O."""
        engine = self._engine
        ending = engine.ledger.stopping or engine.ledger.draining
        return health_of(engine.loops, elapsed(), stopped=self.stopped, ending=ending)

    def tell(self) -> list[tuple[str, str | None]]:
        """Let who listens for sums have what its attempts did so far; the queue and the name of each that runs now."""
        self._engine.recorder.tell()
        held = self._engine.ledger.all()
        running = [attempt.claimed for attempt in held if attempt.stage is Stage.RUNNING]
        return [(claimed.queue, claimed.name) for claimed in running]

    def wait(self, timeout: Duration | None = None) -> bool:
        """Wait until it has stopped, at most `timeout` seconds; whether it has."""
        seconds = None if timeout is None else _seconds("timeout", timeout)
        return self._elsewhere or self._engine.stopped.wait(seconds)

    def stop(self, timeout: Duration | None = None) -> None:
        """Stop claiming, give running handlers `timeout` seconds (default: the queue's grace), release the rest.

        Released tasks are ready again at once, uncharged. It returns when the worker has stopped, at most about a
        second after that time. A second call can only shorten the time.
        """
        seconds = self._grace if timeout is None else _seconds("timeout", timeout)
        if not self._elsewhere:
            self._engine.stop(seconds)

    def stop_soon(self, timeout: Duration | None = None, *, then: Callable[[], object] = lambda: None) -> None:
        """Do as `stop`, without waiting for it; call `then` when it has stopped.

        Where there is no thread for that, it waits.
        """

        def stop() -> None:
            self.stop(timeout)
            then()

        starts.begin_or_run(threading.Thread(target=stop, name="mongoq-stop", daemon=True))

    def drain(self, timeout: Duration | None = None) -> bool:
        """Claim nothing more, let running handlers end, then stop; return whether all ended within `timeout` seconds.

        Claimed tasks that have not started are released at once. Running handlers are not told, and their leases
        are renewed. If it returns False, they still run: call it again, or `stop`. Do not call it from a handler.
        """
        if self._elsewhere:
            return True
        if not self._engine.drain(float("inf") if timeout is None else _seconds("timeout", timeout)):
            return False
        self._engine.stop(0)
        return True

    def finish(self, seconds: float) -> bool:
        """Work until nothing is ready any more, for so long at most, then stop as ever; whether that was reached."""
        if self._elsewhere:
            return True
        finished = self._engine.finish(seconds)
        self._engine.stop(self._grace)
        return finished

    def wake(self) -> None:
        """Look for work now instead of at the next poll."""
        self._engine.wake()

    def tick(self) -> None:
        """Look at the schedules now instead of at their next known tick."""
        self._engine.wake(Wake.SCHEDULES)

    @property
    def _elsewhere(self) -> bool:
        """Whether this is a fork of the process that it runs in."""
        return forks.generation() != self._generation


def _seconds(field: str, duration: Duration) -> float:
    checker = Checker()
    checked = checker.duration(field, duration)
    checker.finish()
    return checked.total_seconds() if checked else 0.0


def run_in_foreground(start: Callable[[Callable[[], None]], WorkerHandle], *, passes_on: bool = False) -> None:
    """Run a worker until it is done, or a signal stops it; a second signal stops it at once.

    `start` is given what the engine calls when it is done. Signals are only taken over in the main thread. Where
    another signal's handler raises, the worker is stopped at once and the error goes on. With `passes_on` the signal
    that stopped it has its own effect afterwards.
    """
    # SimpleQueue.put may be called from a signal handler whatever the main thread is doing; an Event may not.
    inbox: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    threads = set(threading.enumerate())
    with interpreter.tuned(), _signals_to(inbox):
        handle = start(lambda: inbox.put(None))
        try:
            first_signal = _wait(handle, inbox)
        except BaseException:
            handle.stop(0)
            raise
    if first_signal is not None or lines.stuck:
        leave_threads(threads)
    if handle.error is not None:
        raise handle.error
    if passes_on and first_signal is not None:
        _pass_on(first_signal)


def _wait(handle: WorkerHandle, inbox: queue.SimpleQueue[int | None]) -> int | None:
    """Wait for the end of a worker; the signal that stopped it."""
    first_signal = number = _next(inbox)
    if number is not None:
        log.warning("%s: no more tasks are claimed; those that run may end", signal.Signals(number).name)
        leave_monitors()
    handle.stop_soon()
    first = elapsed()
    while not handle.stopped:
        number = _next(inbox)
        # Some send a signal to the process and to its group: what comes at once is not a second one.
        if number is not None and elapsed() - first > AT_ONCE:
            log.warning("%s again: stopping now", signal.Signals(number).name)
            handle.stop_soon(0)
    return first_signal


def _next(inbox: queue.SimpleQueue[int | None]) -> int | None:
    """The next signal, or None for the end of the worker.

    Python misses a signal that arrives between its last look and the wait itself, where another thread may run for a
    while: of 130 workers that got SIGTERM a few milliseconds after their start, 12 went on. So it looks twice a second.
    """
    while True:
        with suppress(queue.Empty):
            return inbox.get(timeout=LOOK_EVERY)


def _pass_on(number: int) -> None:
    """Let a signal do what it would have done: its handler is called; where it would end the process, SystemExit."""
    handler = signal.getsignal(number)
    if callable(handler):
        signal.raise_signal(number)
    elif handler != signal.SIG_IGN:
        raise SystemExit(128 + number)


@contextmanager
def _signals_to(inbox: queue.SimpleQueue[int | None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def arrived(number: int, _frame: FrameType | None) -> None:
        inbox.put(number)

    with forks.taken_over(dict.fromkeys(SIGNALS, arrived)):
        yield
