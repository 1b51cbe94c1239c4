"""Reads what operators have ordered: pauses, which the gate then keeps claims from, and to stop this worker."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from mongoq.pausing.pause import Pause
from mongoq.storage.operations.namespace import orders
from mongoq.worker.runtime import Runtime
from mongoq.worker.stages import Wake

log = logging.getLogger("mongoq.worker")


class Retiring(Protocol):
    """A worker that can end softly."""

    def drain(self, seconds: float) -> bool: ...  # noqa: D102
    def stop(self, grace: float) -> None: ...  # noqa: D102


def retire(worker: Retiring) -> None:
    """Stop a worker when what it runs has ended, in a thread of its own."""

    def end() -> None:
        worker.drain(float("inf"))
        worker.stop(0)

    threading.Thread(target=end, name="mongoq-stop", daemon=True).start()


class OrderReader:
    """Reads the orders every so many seconds, and at once when it is asked to. It wakes by `Wake.WORK` at a resume.

    `every` gives the pause until the next look. `stop` is called where this worker is to stop, `resumed` where tasks
    may be parked for a pause that has ended.
    """

    def __init__(
        self,
        runtime: Runtime,
        every: Callable[[float], float],
        stop: Callable[[], None],
        resumed: Callable[[], None] = lambda: None,
    ) -> None:
        self._runtime = runtime
        self._gate = runtime.context.gate
        self._every = every
        self._stop = stop
        self._resumed = resumed
        self._next = float("-inf")
        self._before = self._gate.in_force(runtime.context.clock.now())

    def ask(self) -> None:
        """Read at the next step: there is an order."""
        self._next = float("-inf")

    def step(self, now: float) -> float:
        """Read, if it is time, and see what has changed; the seconds until the next step."""
        runtime, gate = self._runtime, self._gate
        if now >= self._next:
            self._next = now + self._every(now)
            found: orders.Orders = runtime.run(orders.read(runtime.context, runtime.worker))
            if found.stop:
                runtime.run(orders.taken(runtime.context, runtime.worker))
                log.warning("told to stop from elsewhere: no more tasks are claimed; those that run may end")
                self._stop()
        present = runtime.context.clock.now()
        self._tell(gate.in_force(present))
        left = self._next - runtime.elapsed()
        return max(0.0, min(left, gate.next_end(present)))

    def _tell(self, after: frozenset[Pause]) -> None:
        before, self._before = self._before, after
        for pause in after - before:
            log.warning("paused by %s: %s%s", pause.by, pause, f" ({pause.reason})" if pause.reason else "")
        for pause in before - after:
            log.warning("resumed: %s", pause)
        if before - after:
            if any(pause.tag is not None for pause in before - after):
                self._resumed()
            self._runtime.wake(Wake.WORK)
