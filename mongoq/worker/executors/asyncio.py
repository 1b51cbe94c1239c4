"""The asyncio executor: coroutines on one event loop, its own in a thread of its own, or one that runs already.

What it can stop: a handler that awaits. At its deadline, at a cancel request and when its lease is lost its
asyncio task is cancelled, and the handler sees `asyncio.CancelledError` where it waits; at a shutdown it is told
(`task.cancelled`), and cancelled when the grace is over. What it cannot: a handler that blocks the loop, by a call
that does not await or by a long computation, stops every other handler of its process, deadlines included, until
it awaits again; `await asyncio.to_thread(...)` is for those. Not the renewals: they live in other threads, so no
lease is lost by it. A handler that swallows its cancellation keeps its slot until it ends.

Everything here runs on the loop, but for what the engine calls. Whatever crosses over takes one
`call_soon_threadsafe`: one for a batch of attempts (each writes to a socket), one for an interruption.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from mongoq.core.clock import elapsed
from mongoq.core.judging.verdict import Outcome, Raised, Returned
from mongoq.core.signals import DeadlineExceeded, Interrupted, Interruption
from mongoq.worker import forks
from mongoq.worker.attempt import FOREVER
from mongoq.worker.executors.base import Reports, Unit
from mongoq.worker.executors.daemon_pool import OF_HANDLER, lend_pool
from mongoq.worker.executors.frames import place
from mongoq.worker.executors.own_loop import OwnLoop
from mongoq.worker.handlers.signature import Handler

log = logging.getLogger("mongoq.worker")

LAST_WORDS: Final = 0.5
"""Seconds for which a close waits for the cancelled handlers to tidy up, and the loop to end."""


class AsyncioExecutor:
    """Runs attempts, the first submitted first, each as an asyncio task of its own.

    With a `loop`, which runs in a thread of its owner's, handlers run there; it is neither stopped nor closed.
    """

    def __init__(
        self, handler: Handler, workers: int, reports: Reports, *, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self._handler = handler
        self._workers = workers
        self._reports = reports
        self._waiting = reports.waiting
        self._busy = 0
        self._running: dict[Unit, asyncio.Task[Any]] = {}
        self._cancelled_for: dict[Unit, list[Interruption]] = {}
        self._closed = False
        self._over = threading.Event()
        """Whether it is closed and no handler runs any more."""
        self._no_more_forks: Callable[[], object] = lambda: None
        self._own = OwnLoop() if loop is None else None
        self.loop: asyncio.AbstractEventLoop = loop or self._own.loop  # type: ignore[union-attr] # one of both is there

    @property
    def ready(self) -> int:
        """How many handlers can run at once just now."""
        return self._workers

    def start(self) -> None:
        """Begin."""
        # A fork shares the loop's selector with this process: it must not come back to the loop, and ends there.
        self._no_more_forks = forks.at_fork(lambda: self.loop.call_soon(os._exit, 1))
        if self._own is not None:
            self._own.start(lambda: self._closed and not self._busy)
        else:
            self.post(lend_pool, self.loop)

    def submit(self, attempts: list[Any]) -> None:
        """Run these as soon as there is room for each; suspects before the others."""
        self._waiting.put(attempts)
        self.post(self._fill)

    def drain(self) -> list[Any]:
        """Take back what has not started."""
        return self._waiting.drain()

    def step(self, now: float) -> float:
        """Interrupt what has outlived its lease, or its deadline while another handler blocked the loop."""
        soonest = 1.0
        for attempt in list(self._running):
            reason = attempt.interruption
            if reason is not None:
                if attempt not in self._cancelled_for:
                    self._interrupted(attempt, reason)
            elif now >= attempt.deadline_at:
                attempt.interrupt(Interruption.DEADLINE)
            else:
                soonest = min(soonest, attempt.lease_until - now, attempt.deadline_at - now)
        return max(0.01, soonest)

    def where(self, attempt: Unit) -> str:
        """Where its coroutine stands, for a log line."""
        task = self._running.get(attempt)
        stack = task.get_stack(limit=1) if task is not None else []
        return place(stack[0] if stack else None)

    def close(self) -> None:
        """Cancel what still runs, and end a loop of its own; wait for that a moment only, and never on the loop."""
        self._no_more_forks()
        posted = self.post(self._end)
        if self._own is not None:
            self._own.join(LAST_WORDS)
        elif posted and not is_running_here(self.loop):
            self._over.wait(LAST_WORDS)

    def post(self, callback: Callable[..., object], *args: object) -> bool:
        """Call it on the loop; False where that has ended."""
        try:
            self.loop.call_soon_threadsafe(callback, *args, context=contextvars.Context())
        except RuntimeError:
            log.debug("the event loop has ended already")
            return False
        return True

    def _interrupted(self, attempt: Unit, reason: Interruption) -> None:
        """Cancel the handler, unless it is a shutdown; called by whatever interrupts the attempt, in its thread."""
        if reason is not Interruption.SHUTDOWN:
            self.post(self._cancel, attempt, reason)

    # On the loop.

    def _end(self) -> None:
        self._closed = True
        for task in self._running.values():
            task.cancel(Interruption.SHUTDOWN.value)
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        if self._closed and not self._busy:
            self._over.set()
            if self._own is not None:
                self.loop.stop()

    def _fill(self) -> None:
        """Start what waits, as far as there is room."""
        while self._busy < self._workers and (attempt := self._waiting.next()) is not None:
            self._busy += 1
            # A fresh context each: this may be running in that of another handler, which has just ended.
            self.loop.create_task(self._run(attempt), context=contextvars.Context())
        self._end_if_idle()

    async def _run(self, attempt: Unit) -> None:
        """Do as `execute` does, for a coroutine."""
        began, generation = time.perf_counter(), forks.generation()
        outcome = None
        OF_HANDLER.set(True)
        # Not before the first step of the task: one that is cancelled before that never gets here.
        current = asyncio.current_task()
        assert current is not None
        self._running[attempt] = current
        attempt.on_interrupt = self._interrupted
        try:
            if self._reports.started(attempt):
                attempt.start()
                outcome = await self._perform(attempt)
                if forks.generation() != generation:
                    forks.leave(outcome)
        finally:
            attempt.on_interrupt = None
            del self._running[attempt]
            self._cancelled_for.pop(attempt, None)
            self._busy -= 1
            self._fill()
        if outcome is not None:
            self._reports.ended(attempt, outcome, time.perf_counter() - began)

    async def _perform(self, attempt: Unit) -> Outcome:
        timer = None
        if attempt.deadline_at != FOREVER:
            left = attempt.deadline_at - elapsed()
            timer = self.loop.call_later(left, attempt.interrupt, Interruption.DEADLINE)
        try:
            return Returned(await self._handler(attempt.task))
        except asyncio.CancelledError as error:
            reasons = self._cancelled_for.get(attempt)
            return Raised(_raised_for(reasons[0], error) if reasons else error)
        except BaseException as error:  # noqa: BLE001 -- whatever a handler raises is its outcome
            return Raised(error)
        finally:
            if timer is not None:
                timer.cancel()

    def _cancel(self, attempt: Unit, reason: Interruption) -> None:
        """Cancel the attempt's task, once for each reason: one that swallows a cancel request has a deadline still."""
        task = self._running.get(attempt)
        if task is None:
            return
        reasons = self._cancelled_for.setdefault(attempt, [])
        if reason not in reasons:
            reasons.append(reason)
            task.cancel(reason.value)


def is_running_here(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the calling thread runs this loop."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def _raised_for(reason: Interruption, error: BaseException) -> Interrupted:
    raised = DeadlineExceeded() if reason is Interruption.DEADLINE else Interrupted(reason)
    raised.__cause__ = error  # it tells where the handler was
    return raised
