"""Attempts that wait for their start under a rate limit."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Iterable

from mongoq.worker.attempt import FOREVER, LiveAttempt


class Timed:
    """Attempts by the instant at which they may start. Used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._waiting: list[tuple[float, int, LiveAttempt]] = []

    def put(self, attempts: Iterable[LiveAttempt]) -> None:
        """Let these wait for their instants."""
        with self._lock:
            for attempt in attempts:
                heapq.heappush(self._waiting, (attempt.not_before, next(self._numbers), attempt))

    def take(self, now: float) -> list[LiveAttempt]:
        """Take out those whose instant has come, in this order."""
        due: list[LiveAttempt] = []
        if not self._waiting:
            return due
        with self._lock:
            while self._waiting and self._waiting[0][0] <= now:
                due.append(heapq.heappop(self._waiting)[2])
        return due

    def wait(self, now: float) -> float:
        """Seconds until the next instant."""
        with self._lock:
            return max(0.0, self._waiting[0][0] - now) if self._waiting else FOREVER
