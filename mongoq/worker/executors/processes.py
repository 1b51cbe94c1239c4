"""The process executor: each handler runs in a child process of its own, one task at a time.

What it can stop: everything. At its deadline a handler that runs Python code sees `DeadlineExceeded`, wherever
it is, a sleep included; at a cancel request and a lost lease it is told (`task.cancelled`). A handler that has
not ended half a second later is killed with its process, and another process takes its place: what it has
written outside is left as it stands. A crash fails the one task that ran.

What it costs: a child imports mongoq and the handler's module (two: 0.35 s on 2 cores; 35 MB each), a task and its
result are pickled, and the handler must be a function at the top level of a module. What the handler leaves in
memory stays in its child.

It is the thread executor, but that each thread owns a child and asks it to run the handler. A child runs one task at a
time. While handlers are fast, it holds up to 10 ms of work; it returns what waits behind a handler that turns out slow.
"""

from __future__ import annotations

import logging
import signal
import threading
from typing import Final

from mongoq.core.clock import elapsed
from mongoq.core.host.limits import Crew
from mongoq.core.judging.retrying import RetryRules
from mongoq.core.judging.verdict import Outcome, Raised, Released
from mongoq.worker.attempt import FOREVER, LiveAttempt
from mongoq.worker.executors.base import Reports
from mongoq.worker.executors.batch import Work
from mongoq.worker.executors.children.blueprint import Blueprint
from mongoq.worker.executors.children.ending import LAST_MOMENT
from mongoq.worker.executors.children.outcome import Answer
from mongoq.worker.executors.children.process import ChildProcess
from mongoq.worker.executors.children.program import SIGNALS
from mongoq.worker.executors.children.starts import Starts
from mongoq.worker.executors.children.timing import LOOK, LOOK_FOR_SLOW, SLOW
from mongoq.worker.executors.children.wear import Wear
from mongoq.worker.executors.groups import Groups
from mongoq.worker.handlers.signature import Handler

log = logging.getLogger("mongoq.worker")

WEIGHT: Final = 0.1
AHEAD: Final = 0.01
"""Seconds of work that may wait in a busy child."""
MOST_AHEAD: Final = 16
LARGEST_AHEAD: Final = 4_096
"""Bytes of such a task: all must fit into the socket, or child and parent would wait for each other."""


class ProcessExecutor:
    """Runs attempts, the first submitted first."""

    def __init__(self, handler: Handler, workers: int, reports: Reports, rules: RetryRules, wear: Wear) -> None:
        self._blueprint = Blueprint(handler, rules)
        self._wear = wear
        self._reports = reports
        self._waiting = reports.waiting
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._children: list[ChildProcess] = []
        self._groups = Groups()
        self._starts = Starts(self._closing)
        self._idle = 0
        """How many children wait for a task."""
        self._mean = FOREVER
        """The seconds that handlers take."""
        self._look_at = 0.0
        self._draining = False
        self._threads = Crew(self._work, "mongoq-child", workers)

    @property
    def ready(self) -> int:
        """How many handlers can run at once just now: children that still start are left out."""
        return sum(child.ready and not child.gone for child in list(self._children))

    def start(self) -> None:
        """Begin."""
        self._threads.start()

    def submit(self, attempts: list[LiveAttempt]) -> None:
        """Run these as soon as there is a child for each; suspects before the others."""
        with self._changed:
            self._draining = False
            self._waiting.put(attempts)
            self._changed.notify(len(attempts))

    def drain(self) -> list[LiveAttempt]:
        """Take back what has not started; the tasks that children return follow as released."""
        self._draining = True
        for child in list(self._children):
            child.recall()
        return self._waiting.drain()

    def step(self, now: float) -> float:
        """Tell handlers to stop that should, and kill those that do not; the seconds until the next look."""
        self._threads.grow()
        delay = min((child.look(now) for child in list(self._children)), default=LOOK)
        if any(child.gone for child in list(self._children)):
            with self._changed:
                self._changed.notify_all()  # its thread replaces an idle child that has ended
        self._look_at = now + delay
        return delay

    def where(self, attempt: LiveAttempt) -> str:
        """In which process its handler runs, for a log line."""
        return next(
            (f"process {child.pid}" for child in list(self._children) if child.running is attempt), "no process"
        )

    def close(self) -> None:
        """End all children, at once where a handler still runs; returns when they have ended."""
        with self._changed:
            self._closing.set()
            self._changed.notify_all()
        for child in list(self._children):
            child.stop()
        last = elapsed() + 2 * LAST_MOMENT
        for thread in self._threads.threads:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join(max(0.0, last - elapsed()))
        self._groups.close()

    # All below runs in each of the threads.

    def _work(self) -> None:
        # Children inherit this: Ctrl-C in the terminal reaches them before they have handlers of their own.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        while not self._closing.is_set():
            try:
                child = ChildProcess(self._blueprint, self._reports.look)
            except OSError as error:
                self._starts.failed(str(error))
                continue
            self._children.append(child)
            self._groups.add(child.pid)
            try:
                self._use(child)
            except Exception:
                log.exception("a thread of the process executor goes on after an error of its own")
            finally:
                self._children.remove(child)
                child.end()
                self._groups.remove(child.pid)

    def _use(self, child: ChildProcess) -> None:
        """Start a child and give it tasks until it ends, or all do."""
        if self._closing.is_set():
            child.stop()  # `close` may not have seen it
        trouble = child.greet()
        if trouble is not None:
            self._starts.failed(trouble)
            return
        self._starts.succeeded()
        self._reports.more_ready()
        came: Answer | None = None
        worn: str | None = None
        while True:
            worn = worn or self._wear.told(child)
            if not child.held and not worn:
                attempt = self._next(child, wait=came is None)
                if attempt is not None:
                    self._give_first(child, attempt)
                elif came is None:
                    return
            if child.held and not worn:
                self._give_more(child)
            if came is not None:
                self._take(came)
            if worn and not child.held:
                log.info("the child process %d is replaced: %s", child.pid, worn)
                return
            came = self._outcome(child) if child.held else None

    def _next(self, child: ChildProcess, *, wait: bool) -> Work | None:
        """An attempt for an idle child; None where there is none, or nobody to run it."""
        while child.alive() and not self._closing.is_set():
            attempt = self._waiting.next()
            if attempt is not None or not wait:
                return attempt
            with self._changed:
                if not len(self._waiting) and not self._closing.is_set():
                    self._idle += 1
                    self._changed.wait()
                    self._idle -= 1
        with self._changed:
            self._changed.notify()  # it may have been woken for an attempt that it does not take
        return None

    def _give_first(self, child: ChildProcess, attempt: Work) -> None:
        try:
            if self._reports.started(attempt):
                self._give(child, attempt)
        except Exception as error:
            log.exception("the process executor could not start task %s", attempt.key)
            self._report(attempt, Raised(error), 0.0)

    def _give_more(self, child: ChildProcess) -> None:
        """Give more tasks to a busy child, for 10 ms of work, where no other child is idle."""
        if self._mean > SLOW or self._draining or child.gone:
            return
        room = min(MOST_AHEAD, 1 + int(AHEAD / max(self._mean, 1e-6))) + 1 - child.held
        room = min(room, self._wear.left(child))
        while room > 0 and len(self._waiting) > self._idle and (attempt := self._waiting.next()) is not None:
            if attempt.size > LARGEST_AHEAD:
                self._waiting.put_back([attempt])
                break
            self._give(child, attempt)
            room -= 1
        if child.held > 1 and self._look_at > elapsed() + LOOK_FOR_SLOW:
            self._reports.look()

    def _give(self, child: ChildProcess, attempt: Work) -> None:
        ending = child.give(attempt)
        if ending is not None:
            self._report(attempt, ending, 0.0)

    def _outcome(self, child: ChildProcess) -> Answer:
        came = child.outcome()
        if came.ending is not None:
            self._mean = came.seconds if self._mean == FOREVER else self._mean + (came.seconds - self._mean) * WEIGHT
            if child.gone and not self._closing.is_set():
                log.warning("the process that ran task %s is gone; another takes its place", came.attempts[0].key)
        if came.following is not None and not child.gone:
            self._reports.running(came.following)
        return came

    def _take(self, came: Answer) -> None:
        """Report an outcome; have attempts that were not started run elsewhere."""
        if came.ending is None and not (self._draining or self._closing.is_set()):
            with self._changed:
                self._waiting.put_back(came.attempts)
                self._changed.notify(len(came.attempts))
            return
        for attempt in came.attempts:
            self._report(attempt, came.ending or Released(), came.seconds if came.ending else 0.0)

    def _report(self, attempt: Work, ending: Outcome, seconds: float) -> None:
        try:
            self._reports.ended(attempt, ending, seconds)
        except Exception as error:
            log.exception("the process executor could not report the end of task %s", attempt.key)
            self._reports.ended(attempt, Raised(error), 0.0)  # no attempt is left without an end
