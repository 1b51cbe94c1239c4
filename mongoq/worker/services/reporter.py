"""Writes what running handlers say of their progress, all of a moment in one command."""

from __future__ import annotations

from typing import Final

from mongoq.core.errors import StorageRefused
from mongoq.core.tasks.progress import Unwritten
from mongoq.storage.operations import reports
from mongoq.storage.operations.recovery.skip_locked import BLOCKED_FOR
from mongoq.storage.operations.reports import Saying
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.runtime import Runtime

EVERY: Final = 0.5
"""Seconds between two writes: what a handler says is stored within one."""


class Reporter:
    """The service that stores progress. What is left at the end of an attempt is stored with its ending."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._blocked: dict[str, float] = {}
        """The keys that a transaction held, and until when each is left alone."""
        self._due_at = 0.0

    def step(self, now: float) -> float:
        """Write what was said since the last time; the seconds until the next."""
        if now < self._due_at:
            return self._due_at - now
        self._due_at = now + EVERY
        if said := [(one, unwritten) for one in self._runtime.ledger.all() if (unwritten := self._of(one, now))]:
            self._write(said, now)
        return EVERY

    def _of(self, attempt: LiveAttempt, now: float) -> Unwritten | None:
        if attempt.report is None or not attempt.open or attempt.in_transaction:
            return None
        return None if self._blocked.get(attempt.key, 0.0) > now else attempt.report.unwritten

    def _write(self, said: list[tuple[LiveAttempt, Unwritten]], now: float) -> None:
        sayings = [Saying(one.key, one.token, one.task.attempts, unwritten) for one, unwritten in said]
        try:
            blocked = self._runtime.run(reports.write(self._runtime.context, sayings))
        except StorageRefused:
            blocked = []  # one has no room left in its document, or a validator; its ending will tell
        self._blocked = {key: until for key, until in self._blocked.items() if until > now}
        self._blocked |= dict.fromkeys(blocked, now + BLOCKED_FOR)
        for attempt, unwritten in said:
            if attempt.report is not None and attempt.key not in blocked:
                attempt.report.written(unwritten.number)
