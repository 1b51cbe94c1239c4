"""Deliver what happened in a thread of its own, in order, and keep those who note it from ever waiting."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVarTuple

from mongoq.core.host.limits import starts

Item = TypeVarTuple("Item")

log = logging.getLogger("mongoq.telemetry")

MOST: Final = 10_000
"""Events that may wait: some 20 MB of small tasks."""
IDLE: Final = 5.0
"""Seconds after which the thread ends; the next event starts another."""


class DeliveryThread(Generic[*Item]):
    """Calls `deliver` with what is put, one at a time. What comes while 10,000 wait is lost; a log line counts it."""

    def __init__(self, name: str, deliver: Callable[[*Item], None]) -> None:
        self._name = name
        self._deliver = deliver
        self._waiting: queue.Queue[tuple[*Item] | threading.Event] = queue.Queue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._lost = 0

    def put(self, *item: *Item) -> None:
        """Have it delivered. Never blocks."""
        if self._waiting.qsize() >= MOST:
            self._lost += 1
        else:
            self._put(item)

    def settle(self, timeout: float) -> bool:
        """Wait until all so far were delivered; whether they were in time."""
        if self._thread is None or self._thread is threading.current_thread():
            return True
        delivered = threading.Event()
        self._put(delivered)
        return delivered.wait(timeout)

    def _put(self, item: tuple[*Item] | threading.Event) -> None:
        with self._lock:
            self._waiting.put(item)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread = thread if starts.begin(thread) else None

    def _run(self) -> None:
        while True:
            try:
                item = self._waiting.get(timeout=IDLE)
            except queue.Empty:
                with self._lock:
                    if not self._waiting.empty():
                        continue
                    self._thread = None
                    return
            if isinstance(item, threading.Event):
                item.set()
                continue
            self._deliver(*item)
            lost, self._lost = self._lost, 0
            if lost:
                log.warning("%d events were lost: listeners were too slow for them", lost)
