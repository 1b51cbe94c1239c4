"""Children that do not start: tasks wait, and the next is tried after a pause."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from typing import Final

from mongoq.core.judging.backoff import Exponential

log = logging.getLogger("mongoq.worker")

PAUSE: Final = Exponential(timedelta(milliseconds=200), factor=2, max=timedelta(seconds=10))
"""After children that could not start."""


class Starts:
    """Counts the failures since a child has started, in all threads of an executor."""

    def __init__(self, closing: threading.Event) -> None:
        self._closing = closing
        self._lock = threading.Lock()
        self._failures = 0

    def succeeded(self) -> None:
        """Note that a child has started."""
        self._failures = 0

    def failed(self, why: str) -> None:
        """Wait before the next child is tried: without one tasks wait, and none is charged."""
        if self._closing.is_set():
            return
        with self._lock:
            self._failures += 1
            failures = self._failures
        if failures == 1:
            log.error("a process for the handler does not start; tasks wait, it is tried again. %s", why)
        self._closing.wait(PAUSE.delay(failures).total_seconds())
