"""What an executor on a loop reports, to be waited for."""

from __future__ import annotations

import asyncio
import threading

from mongoq.core.judging.verdict import Outcome
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.executors.asyncio import AsyncioExecutor
from mongoq.worker.executors.base import Reports
from mongoq.worker.handlers.signature import Function, Handler


class Engine:
    """What an executor reports, to be waited for."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.begun = threading.Event()
        self._changed = threading.Condition()

    def started(self, _attempt: LiveAttempt) -> bool:
        self.begun.set()
        return True

    def ended(self, _attempt: LiveAttempt, outcome: Outcome, _seconds: float) -> None:
        with self._changed:
            self.outcomes.append(outcome)
            self._changed.notify_all()

    def wait(self, count: int) -> list[Outcome]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.outcomes) >= count, timeout=60)
        return self.outcomes

    def executor(
        self, function: Function, workers: int, loop: asyncio.AbstractEventLoop | None = None
    ) -> AsyncioExecutor:
        reports = Reports(self.started, self.ended)
        return AsyncioExecutor(Handler(function, takes_attempt=False), workers, reports, loop=loop)
