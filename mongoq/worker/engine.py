"""One worker process: its services, and how they start and stop together."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from mongoq.core.errors import MongoqError
from mongoq.core.events import Telemetry, deferring
from mongoq.core.fleet import Signal
from mongoq.core.host.limits import Late, starts
from mongoq.core.signals import Interruption
from mongoq.storage.context import Context
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.config import WorkerConfig
from mongoq.worker.dispatcher import Dispatcher
from mongoq.worker.fleet.view import FleetView
from mongoq.worker.fleet.watcher import FleetWatcher, Streams
from mongoq.worker.handlers.signature import ASYNCIO
from mongoq.worker.log_lines import lines
from mongoq.worker.recording.recorder import Recorder
from mongoq.worker.runtime import Run, Runtime
from mongoq.worker.services.fetcher import Fetcher
from mongoq.worker.services.finisher import Finisher
from mongoq.worker.services.format_check import FormatCheck
from mongoq.worker.services.loop import Health, Loop, Step
from mongoq.worker.services.orders import retire
from mongoq.worker.services.renewer import Renewer
from mongoq.worker.services.reporter import Reporter
from mongoq.worker.services.watchdog import Watchdog
from mongoq.worker.stages import Wake
from mongoq.worker.task_transaction import abort_open

log = logging.getLogger("mongoq.worker")

LAST_WRITES: Final = 0.3
"""Seconds beyond the grace in which a stopping worker still tries to write what it has.

The rest of the second that is promised is for closing the client and for the end of the interpreter.
"""
CRITICAL: Final = ("finisher", "renewer", "watchdog")
"""The services that wait for no listener."""
LAST_CLAIM: Final = 3.5
"""Seconds for which a claim under way is waited for: one that comes later runs out its leases."""


class Engine:
    """Claims, runs and finishes tasks until it is stopped, or in a burst until nothing is left."""

    def __init__(
        self,
        context: Context,
        run: Run,
        config: WorkerConfig,
        streams: Streams,
        *,
        telemetry: Telemetry,
        done: Callable[[], None],
    ) -> None:
        worker = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._runtime = runtime = Runtime(context, run, worker, telemetry, self.wake)
        self.ledger = runtime.ledger
        self._config = config
        self._done = done
        self._dispatcher = dispatcher = Dispatcher(runtime, config, stop=self._stop_for)
        self.recorder = recorder = Recorder(runtime, FormatCheck(runtime, self._stop_for).look)
        health = Health(telemetry, runtime.elapsed)
        self._watcher = watcher = FleetWatcher(
            runtime, FleetView(worker, config.queues, config.workers, config.names), streams, health, self._abandon,
            facts=lambda: config.facts_of(worker, self.ledger), called=self._called, beaten=recorder.beaten,
            retire=lambda: retire(self), listens=config.news and not config.burst,
        )  # fmt: skip
        self._fetcher = Fetcher(runtime, config, dispatcher.room, watcher, receive=self._receive, done=self._emptied)
        self._late = Late()
        steps: dict[str, Step] = {
            "fetcher": self._fetcher.step,
            "look-ahead": self._fetcher.look_ahead,
            "finisher": Finisher(runtime, dispatcher.prefetch, dispatcher.instead).step,
            "renewer": Renewer(runtime, lose=dispatcher.lose).step,
            "reporter": Reporter(runtime).step,
            "watchdog": Watchdog(self.ledger, dispatcher, also=self._late.again).step,
        }
        loops = {
            name: Loop(name, step, health, self._abandon, clock=runtime.elapsed, defers=name in CRITICAL)
            for name, step in steps.items()
        }
        self.loops = loops | self._watcher.loops
        self._stopping = threading.Lock()  # held while it starts, too
        self._lines = [lines]
        self._empty = threading.Event()
        self.stopped = threading.Event()
        self.error: BaseException | None = None
        """What ended it: a handler's `Stop`, the lifespan, a refused change, or a newer mongoq."""

    @property
    def worker(self) -> str:
        """Its name in the fleet."""
        return self._runtime.worker

    def start(self, made: Callable[[], None]) -> None:
        """Begin to work. From `made` on others may know of it: their stop waits until all has begun."""
        lines.begin()
        with self._stopping:
            made()
            begins = [self._dispatcher.executor.start, *(loop.start for loop in self.loops.values())]
            if self._config.executor != ASYNCIO:  # which prepares its event loop before the first handler
                begins.append(begins.pop(0))  # with as many threads as are left
            for begin in begins:
                begin()

    def wake(self, wake: Wake = Wake.WORK) -> None:
        """Wake the service that has something to do now; by default, look for work."""
        loops = self.loops
        if wake is Wake.ENDINGS:
            loops["finisher"].wake()
        elif wake in (Wake.SCHEDULED, Wake.SCHEDULES):
            self._watcher.look_ahead(schedules=wake is Wake.SCHEDULES)
        elif wake is Wake.DEADLINE:
            loops["watchdog"].wake()
        elif self._is_worth_a_claim(wake):
            if wake is Wake.NEWS:
                self._fetcher.hurry = True
                loops["fetcher"].step_here()
                return
            loops["fetcher"].wake()
            if self._fetcher.deep:
                loops["look-ahead"].wake()

    def _is_worth_a_claim(self, wake: Wake) -> bool:
        room = wake is Wake.ROOM or (wake is Wake.EMPTY and not self._fetcher.burst)
        return not room or (not self._watcher.informed and self._dispatcher.room.worth_a_claim)

    def stop(self, grace: float) -> None:
        """Stop claiming, let handlers end for `grace` seconds, release the rest uncharged. Returns when stopped.

        A second call shortens the grace of the first.
        """
        self.ledger.stop_by = min(self.ledger.stop_by, self._runtime.elapsed() + grace)
        self.ledger.progress.set()
        self.loops["finisher"].wake()
        with self._stopping:
            if not self.stopped.is_set():
                with deferring():
                    self._shut_down()
                self._leave()

    def finish(self, seconds: float) -> bool:
        """Work until nothing is ready any more and nothing runs, for so long at most; whether that was reached."""
        self._fetcher.burst = True
        self.wake()
        return self._empty.wait(min(seconds, threading.TIMEOUT_MAX)) and self.error is None

    def drain(self, seconds: float) -> bool:
        """Claim nothing more, give back what waits, and let what runs end; whether all had ended in time."""
        ledger, until = self.ledger, self._runtime.elapsed() + seconds
        ledger.draining = True
        self._watcher.retire()
        for name in ("fetcher", "look-ahead"):
            self.loops[name].stop()
        self._dispatcher.release_waiting()
        while len(ledger) and not self.stopped.is_set() and self._runtime.elapsed() < until:
            ledger.progress.wait(0.05)
            ledger.progress.clear()
        return not len(ledger)

    def _emptied(self) -> None:
        self._empty.set()
        self._done()

    def _stop_for(self, error: BaseException) -> None:
        """End the worker because of a handler's `Stop`, its lifespan, a refused change, or a newer mongoq."""
        if self.error is None:
            self.error = error
            grace = self._runtime.context.options.grace.total_seconds()
            self.ledger.stop_by = min(self.ledger.stop_by, self._runtime.elapsed() + grace)
            self._late.begin(threading.Thread(target=self.stop, args=(grace,), name="mongoq-stop", daemon=True))

    def _receive(self, attempts: list[LiveAttempt], *, joining: bool = False) -> None:
        self._watcher.took(lambda: [attempt.claimed.queue for attempt in attempts])
        self._dispatcher.receive(attempts, joining=joining)

    def _called(self, signal: Signal) -> None:
        self._fetcher.called(signal.count)
        self.wake()

    def _shut_down(self) -> None:
        for name in ("fetcher", "look-ahead", "sweeper"):
            self.loops[name].stop()
        self._watcher.retire()
        ledger, release = self.ledger, self._dispatcher.release
        ledger.hurry()
        self.loops["finisher"].wake()
        self._dispatcher.release_waiting()
        for attempt in ledger.all():
            attempt.interrupt(Interruption.SHUTDOWN, limit=ledger.stop_by)
        self._wait(lambda: not any(attempt.open for attempt in ledger.all()), 0)
        for name in ("fetcher", "look-ahead"):
            self.loops[name].join(min(LAST_CLAIM, ledger.stop_by - self._runtime.elapsed()))
        abort_open(ledger.all(), self._runtime.run, LAST_WRITES)  # they hold the tasks to be released
        release(ledger.all())
        self._wait(lambda: not len(ledger), LAST_WRITES)
        self._close()
        if not len(ledger):
            # In a thread of its own: without a server it would wait for one.
            goodbye = threading.Thread(target=self._say_goodbye, name="mongoq-goodbye", daemon=True)
            if starts.begin(goodbye):
                goodbye.join(max(0.0, ledger.stop_by + LAST_WRITES - self._runtime.elapsed()))

    def _abandon(self) -> None:
        """End without a word to the server: the client was closed by its owner, and the leases will run out."""
        if not self.stopped.is_set() and not self.ledger.stopping:
            log.warning("the MongoDB client was closed: this worker has ended, and its leases will run out")
            self._close()
            self._leave()

    def _leave(self) -> None:
        self._runtime.tell_stopped(self.error)
        with suppress(IndexError):  # both a stop and the end of the client may come here
            self._lines.pop().end()
        self.stopped.set()
        self._emptied()

    def _close(self) -> None:
        for loop in self.loops.values():
            loop.stop()
        self._dispatcher.executor.close()

    def _say_goodbye(self) -> None:
        try:
            self.recorder.flush(last=True)
            self._watcher.leave()
        except MongoqError as error:
            log.info("the heartbeat stays for a minute: %s", error)

    def _wait(self, over: Callable[[], bool], beyond: float) -> None:
        """Wait until `over`, at most until so long beyond the grace."""
        while not over():
            left = self.ledger.stop_by + beyond - self._runtime.elapsed()
            if left <= 0:
                return
            self.ledger.progress.wait(min(left, 0.05))
            self.ledger.progress.clear()
