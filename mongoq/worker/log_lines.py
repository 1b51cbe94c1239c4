"""Log lines of a running worker: written by a thread of their own, so that a stuck handler of logs stops nothing else.

The threads that renew leases, write endings and stop the worker also log. Where stderr is a pipe that nobody reads,
each of them would wait in its line for ever, with the lock of the log handler in its hands. While a worker runs, the
lines of mongoq's own loggers wait in a queue; what does not fit is counted.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
from typing import Any, Final

from mongoq.core.host.limits import starts

LOGGERS: Final = ("mongoq.worker", "mongoq.core.judging.verdict", "mongoq.telemetry", "mongoq.cli")
MOST: Final = 1_000
"""Lines that may wait."""
LAST_LINES: Final = 0.3
"""Seconds for which the end of a worker waits for its lines to be written."""


class LogLines(logging.Filter):
    """Takes the records out of their loggers, and gives them back in a thread of its own. `begin` and `end` nest."""

    def __init__(self, most: int = MOST) -> None:
        super().__init__()
        self._most = most
        self._lock = threading.Lock()
        self._workers = 0
        self._waiting: queue.SimpleQueue[logging.LogRecord | threading.Event] = queue.SimpleQueue()
        self._lost = 0
        self._thread: threading.Thread | None = None
        self.stuck = False
        """Whether the last lines could not be written in time: from then on none is written anywhere else."""

    def begin(self) -> None:
        """A worker begins."""
        with self._lock:
            self._workers += 1
            if self._thread is None:
                thread = threading.Thread(target=self._write, name="mongoq-log", daemon=True)
                self._thread = thread if starts.begin(thread) else None
            for name in LOGGERS:
                logging.getLogger(name).addFilter(self)

    def end(self) -> None:
        """A worker has ended: wait a moment until its lines are written."""
        written = threading.Event()
        self._waiting.put(written)
        in_time = self._thread is None or written.wait(LAST_LINES)
        with self._lock:
            self._workers -= 1
            self.stuck = not in_time
            if not self._workers and in_time:
                for name in LOGGERS:
                    logging.getLogger(name).removeFilter(self)

    def forked(self) -> None:
        """In a fork there is no thread that writes."""
        self.__init__(self._most)  # type: ignore[misc]
        for name in LOGGERS:
            for known in list(logging.getLogger(name).filters):
                if isinstance(known, LogLines):
                    logging.getLogger(name).removeFilter(known)

    def add(self, record: logging.LogRecord) -> None:
        """Write a record of another process, where this one's loggers want it."""
        if not logging.getLogger(record.name).isEnabledFor(record.levelno):
            return
        if self._thread is None:
            logging.getLogger(record.name).handle(record)
        elif self._waiting.qsize() >= self._most:
            self._lost += 1
        else:
            self._waiting.put(record)

    def filter(self, record: logging.LogRecord) -> Any:
        """Whether the logger goes on with this record at once: only in the thread that writes."""
        if self._thread in {threading.current_thread(), None}:
            return True
        if self._waiting.qsize() >= self._most:
            self._lost += 1
        else:
            with contextlib.suppress(Exception):  # what does not fit together is told by the handler of logs
                record.msg, record.args = record.getMessage(), None
            self._waiting.put(record)
        return False

    def _write(self) -> None:
        while True:
            item = self._waiting.get()
            if isinstance(item, threading.Event):
                item.set()
                continue
            try:
                logging.getLogger(item.name).handle(item)
                lost, self._lost = self._lost, 0
                if lost:
                    text = "%d log lines were lost: they came faster than they could be written"
                    logging.getLogger(LOGGERS[0]).warning(text, lost)
            except Exception:  # noqa: BLE001, S110 -- a user's log handler may raise anything, and there is no log
                pass


lines: Final = LogLines()
os.register_at_fork(after_in_child=lines.forked)
