"""Where those who claim by hand wait for work: one stream, one sweeper and one poll for all who ask for the same.

A wake-up notifies one of them. Whoever gets a task notifies the next, who finds out whether there is more: a hundred
who wait cost the server what one costs, and do not fight for one task.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from mongoq.core.clock import elapsed
from mongoq.core.host.waiter import Waiter
from mongoq.core.requests import ClaimRequest
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import Op
from mongoq.storage.control import Wait
from mongoq.storage.operations.namespace.orders import LOOK_EVERY
from mongoq.worker.runtime import Runtime
from mongoq.worker.services.loop import Health, Loop
from mongoq.worker.services.watcher import FIRST_POLL, Stream, WorkWatcher
from mongoq.worker.stages import Wake

MOST_KEPT: Final = 8
"""Queues of waiters that are kept although nobody waits there: those who claim in a loop come back at once."""
LOOK_APART: Final = 0.2
"""Seconds at least between two looks whether what is paused was resumed."""


class Waiters:
    """Those who wait for the same tasks, in threads or on an event loop."""

    def __init__(self, runtime: Runtime, stream: Stream) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Waiter] = deque()
        self._called = False
        self._closed = False
        self._count = 0
        self._stream = stream
        self._poll_at = self._polled_at = 0.0
        self._clock, self._gate = runtime.context.clock, runtime.context.gate
        self._paused = False  # whether something was, at the last look
        health = Health(runtime.telemetry, runtime.elapsed)
        self._watcher = WorkWatcher(
            replace(runtime, wake=self._wake), stream, health, self.close, prefix="claim-",
            resting=lambda: self.deserted,
        )  # fmt: skip
        self._poller = Loop("claim-poll", self._polled, health, self.close, clock=runtime.elapsed)
        self._watcher.start()
        self._poller.start()

    @property
    def deserted(self) -> bool:
        """Whether nobody waits here."""
        return not self._count

    def enter(self) -> None:
        """Count one in."""
        with self._lock:
            self._count += 1
            if self._count == 1:
                self._watcher.poll.reset()
                self._poll_at = elapsed() + FIRST_POLL
        self._watcher.wake()
        self._poller.wake()

    def leave(self) -> None:
        """Count one out."""
        with self._lock:
            self._count -= 1
            if self.deserted:
                self._watcher.idle(False)

    def notify_one(self) -> None:
        """Let one of those who wait look for work."""
        with self._lock:
            waiter = self._waiting.popleft() if self._waiting else None
            self._called = waiter is None
        if waiter is not None:
            waiter.notify()

    def wait(self, take: Callable[[], Op[Task | None]], deadline: float) -> Op[Task | None]:
        """What `take` brings as soon as it brings something; None at the deadline, on `elapsed()`."""
        while (taken := (yield from self._looked(take))) is None and elapsed() < deadline:
            self._watcher.idle(True)
            if self._gate.pauses:
                self._poller.wake()
            yield from self._notified(deadline)
        if taken is not None:
            self._watcher.raced(won=True)
            self.notify_one()
        return taken

    def _looked(self, take: Callable[[], Op[Task | None]]) -> Op[Task | None]:
        try:
            return (yield from take())
        except (Exception, GeneratorExit):
            raise
        except BaseException:  # it was interrupted, maybe after a call: another is to look in its place
            self.notify_one()
            raise

    def close(self) -> None:
        """Let everybody look once more, which tells them why."""
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, deque()
        for waiter in waiting:
            waiter.notify()
        self._watcher.stop()
        self._poller.stop()

    def _notified(self, deadline: float) -> Op[None]:
        waiter = Waiter()
        with self._lock:
            if self._called or self._closed:
                self._called = False
                return
            self._waiting.append(waiter)
        left = deadline - elapsed()
        looks = False
        try:
            yield Wait(waiter, None if left == float("inf") else max(0.0, left))
            looks = True
        finally:
            with self._lock:
                if waiter in self._waiting:
                    self._waiting.remove(waiter)
            if waiter.notified and not looks:  # it was interrupted: another is to look in its place
                self.notify_one()

    # The service of the poll, and what wakes.

    def _polled(self, now: float) -> float | None:
        """Let one look for all of them, at pauses that grow; the seconds until the next time."""
        with self._lock:
            if self.deserted:
                return None
            due = min(self._poll_at, max(self._resumed_at(), self._polled_at + LOOK_APART))
            if now < due:
                return due - now
            pause = self._watcher.poll.next(self._watcher.longest_poll)
            self._poll_at, self._polled_at, self._paused = now + pause, now, False
        self.notify_one()
        return 0.0

    def _resumed_at(self) -> float:
        """When what is paused may have been resumed, on `elapsed()`: no signal tells those who claim by hand."""
        now = self._clock.now()
        if not self._gate.in_force(now):
            return float("-inf") if self._paused else float("inf")
        self._paused = True
        return min(self._gate.read_at + LOOK_EVERY, elapsed() + self._gate.next_end(now))

    def _wake(self, wake: Wake) -> None:
        if wake is Wake.SCHEDULED:
            self._watcher.look_ahead()
        else:
            self.notify_one()


class Places:
    """The waiters of one queue object, by the queues and tags that they wait for."""

    def __init__(self, make: Callable[[ClaimRequest], Waiters]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._known: dict[tuple[tuple[str, ...], str], Waiters] = {}

    def wait(self, wanted: ClaimRequest, take: Callable[[], Op[Task | None]], deadline: float) -> Op[Task | None]:
        """Wait with the others who want the same; see `Waiters.wait`."""
        place = self._entered(wanted)
        try:
            return (yield from place.wait(take, deadline))
        finally:
            place.leave()

    def notify(self) -> None:
        """Let one at each place look: there is new work, of this very process."""
        for place in list(self._known.values()):
            place.notify_one()

    def close(self) -> None:
        """Close all."""
        for place in list(self._known.values()):
            place.close()

    def _entered(self, wanted: ClaimRequest) -> Waiters:
        name = wanted.queues, repr(sorted(wanted.where.items(), key=lambda item: item[0]))
        with self._lock:
            place = self._known.pop(name, None)
            if place is None:
                self._forget_deserted()
                place = self._make(wanted)
            self._known[name] = place  # the last in use is the last to be forgotten
            place.enter()
            return place

    def _forget_deserted(self) -> None:
        deserted = [name for name, place in self._known.items() if place.deserted]
        for name in deserted[: max(0, len(self._known) - MOST_KEPT + 1)]:
            self._known.pop(name).close()
