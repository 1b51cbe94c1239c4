"""The process executor: each handler runs in a child process of its own, one task at a time.

What it can stop: everything. At its deadline a handler that runs Python code sees `DeadlineExceeded`, wherever
it is, a sleep included; at a cancel request and a lost lease it is told (`task.cancelled`). A handler that has
not ended half a second later is killed with its process, and another process takes its place: what it has
written outside is left as it stands. A crash fails the one task that ran.

What it costs: a child imports mongoq and the handler's module (two: 0.35 s on 2 cores; 35 MB each), a task and its
result are pickled, and the handler must be a function at the top level of a module. What the handler leaves in
memory stays in its child.

One thread talks to all children. A child runs its tasks in order and tells each ending before it goes on, so the
first that it holds is the one that runs. It is given more than one only while handlers are fast, to hide the
way through the pipe, and has to give back what waits behind a handler that turns out slow.
"""

from __future__ import annotations

import logging
import pickle
import signal
import threading
import time
from typing import Any, Final

from mongoq.core.clock import elapsed
from mongoq.core.verdict import Ending, Raised, Released, Returned
from mongoq.worker.attempt import FOREVER, LiveAttempt
from mongoq.worker.executors.base import Reports
from mongoq.worker.executors.child import SIGNALS, Unsent, Up
from mongoq.worker.executors.children import SLOW, Blueprint, Child
from mongoq.worker.executors.pool import ProcessPool
from mongoq.worker.handlers.signature import Handler

log = logging.getLogger("mongoq.worker")

LOOK: Final = 0.1
AHEAD: Final = 0.01
"""Seconds of work that a child may hold ahead."""
MOST_AHEAD: Final = 200
WEIGHT: Final = 0.1


class ProcessExecutor:
    """Runs attempts, the first submitted first."""

    def __init__(self, handler: Handler, workers: int, reports: Reports) -> None:
        self._reports = reports
        self._waiting = reports.waiting
        self._nursery = ProcessPool(Blueprint(handler), workers)
        self._mean = FOREVER
        self._number = 0
        self._look_at = 0.0
        self._draining = False
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="mongoq-children", daemon=True)

    @property
    def ready(self) -> int:
        """How many handlers can run at once just now: children that still start are left out."""
        return sum(child.ready for child in self._nursery.children)

    def start(self) -> None:
        """Begin."""
        self._nursery.open()
        self._thread.start()

    def submit(self, attempts: list[LiveAttempt]) -> None:
        """Run these as soon as there is a child for each; suspects before the others."""
        self._draining = False
        self._waiting.put(attempts)
        self._nursery.ring()

    def drain(self) -> list[LiveAttempt]:
        """Take back what has not started; what a child still holds follows as released."""
        self._draining = True
        taken = self._waiting.drain()
        self._nursery.ring()
        return taken

    def step(self, now: float) -> float:  # noqa: ARG002 -- as every executor
        """Nothing: the thread that talks to the children interrupts them as well."""
        return 60.0

    def close(self) -> None:
        """End all children, at once where a handler still runs; returns when they have ended."""
        self._closing = True
        if self._thread.ident is not None and threading.current_thread() is not self._thread:
            self._nursery.ring()
            self._thread.join()

    # All below runs in the one thread.

    def _work(self) -> None:
        # Children inherit this: Ctrl-C in the terminal reaches them before they have handlers of their own.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        while not self._closing:
            try:
                self._turn()
            except Exception:
                log.exception("the process executor failed; it goes on")
                time.sleep(LOOK)
        self._nursery.close()

    def _turn(self) -> None:
        for child in self._nursery.wait(self._pause()):
            self._hear(child)
        now = elapsed()
        if now >= self._look_at:
            self._look_at = now + LOOK
            for child in list(self._nursery.children):
                if child.process.poll() is not None:
                    # Something that its handler has started may hold its pipe open.
                    self._bury(child)
                else:
                    child.look(now)
        self._nursery.fill(now)
        if self._draining:
            for child in self._nursery.children:
                child.recall()
            self._release_waiting()
        else:
            self._dispatch()
        self._nursery.flush()

    def _pause(self) -> float | None:
        now = elapsed()
        heads = [head for child in self._nursery.children if (head := child.head) is not None]
        if not heads and self._nursery.full:
            return None
        self._look_at = min([self._look_at, *(head.deadline_at for head in heads if head.deadline_at > now)])
        return max(0.0, self._look_at - now)

    def _dispatch(self) -> None:
        """Give a task to each idle child, and then more where handlers are fast."""
        ready = [child for child in self._nursery.children if child.free]
        for child in ready:
            if not child.held:
                self._give_first(child)
        if self._mean > SLOW or not len(self._waiting) or not ready:
            return
        depth = 1 + max(1, min(MOST_AHEAD, int(AHEAD / max(self._mean, 1e-9))))
        share = -(-len(self._waiting) // len(ready))
        for child in ready:
            for _ in range(min(share, depth - len(child.held)) if child.held else 0):
                attempt = self._waiting.next()
                if attempt is not None:
                    self._give(child, attempt)

    def _give_first(self, child: Child) -> None:
        while not child.held and (attempt := self._waiting.next()) is not None:
            if self._reports.started(attempt):
                attempt.start()
                self._give(child, attempt)
                child.took_up()

    def _give(self, child: Child, attempt: LiveAttempt) -> None:
        self._number += 1
        try:
            child.give(self._number, attempt)
        except Exception as error:  # noqa: BLE001 -- whatever a task's values raise when they are pickled
            self._reports.ended(attempt, Raised(error), 0.0)

    def _hear(self, child: Child) -> None:
        for message in child.hear():
            self._heard(child, *message)
        if child.closed:
            self._bury(child)

    def _heard(self, child: Child, kind: Up, *message: Any) -> None:
        if kind in {Up.RETURNED, Up.RAISED}:
            self._ended(child, *message)
        elif kind == Up.READY:
            self._nursery.grew_up(child)
            self._reports.more_ready()
        elif kind == Up.BROKEN:
            child.trouble = f"{message[0].kind}: {message[0].message}\n{message[0].frames}"
        elif kind == Up.PAUSE:
            child.pause(*message)
        elif kind == Up.RENEWED:
            child.renewed(*message)
        elif kind == Up.RESUME:
            child.resume(*message)
        elif kind == Up.RETURN_UNSTARTED:
            self._take_back(child.gave_back(message[0]))

    def _ended(self, child: Child, number: int, seconds: float, *told: Any) -> None:
        attempt = child.ended(number)
        self._mean = seconds if self._mean == FOREVER else self._mean + (seconds - self._mean) * WEIGHT
        following = child.head
        if following is not None:
            child.took_up()
            following.start()
            # It runs: to release it now, as a stop or a cancel would, would have it run twice. Where its lease is lost,
            # the attempt is not open any more, and the next look stops it.
            self._reports.runs(following)
        self._reports.ended(attempt, _received(*told), seconds)

    def _bury(self, child: Child) -> None:
        """Settle what a dead child leaves, and forget it; another takes its place."""
        for message in child.hear():
            self._heard(child, *message)
        seconds = elapsed() - child.began
        ending, left = self._nursery.bury(child)
        if left and ending is not None:
            victim = left.pop(0)
            log.warning("the process that ran task %s is gone; another takes its place", victim.key)
            self._reports.ended(victim, ending, seconds)
        self._take_back(left)

    def _take_back(self, attempts: list[LiveAttempt]) -> None:
        self._waiting.put_back(attempts)

    def _release_waiting(self) -> None:
        for attempt in self._waiting.drain():
            self._reports.ended(attempt, Released(), 0.0)


def _received(blob: bytes | None, *cause: Any) -> Ending:
    try:
        value: Any = None if blob is None else pickle.loads(blob)  # noqa: S301 -- from our own child
    except Exception as error:  # noqa: BLE001 -- a user's class may raise anything when it is unpickled
        return Raised(error) if cause else Returned(Unsent(f"a result ({error})"))
    if not cause:
        return Returned(value)
    if cause[0] is not None:
        value.__cause__ = cause[0]
    return Raised(value)
