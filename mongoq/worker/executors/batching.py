"""An executor that gathers the attempts of batch handlers, and runs each batch by another executor as one attempt.

A batch begins with the first attempt of its kind. It is closed when it is full, or when that attempt has waited for as
long as the handler says; until then the fetcher claims more of its kind. Tasks with another deadline are another batch:
the handler is interrupted for all of them. A task whose lease was lost before is a batch of its own: where it kills the
process, it costs no other task a lease. So is one that has failed before, in its last attempt: no task fails for good
by an error of another one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from mongoq.core.batching import BatchRule
from mongoq.core.clock import elapsed
from mongoq.core.judging.verdict import Outcome, Raised, Returned
from mongoq.worker.attempt import FOREVER, LiveAttempt
from mongoq.worker.executors.base import Executor, Reports
from mongoq.worker.executors.batch import Batch
from mongoq.worker.handlers.signature import Handler

Kind = tuple[BatchRule, timedelta | None]
"""What the tasks of a batch have in common: the handler's rule, and their deadline."""


class Gathering:
    """The attempts of a batch that is not full yet."""

    def __init__(self, until: float) -> None:
        self.until = until
        self.attempts: list[LiveAttempt] = []


class Batching(Executor):
    """Runs attempts by another executor, those of batch handlers together."""

    def __init__(self, handler: Handler, reports: Reports, make: Callable[[Reports], Executor]) -> None:
        self._handler = handler
        self._reports = reports
        self._lock = threading.Lock()
        self._gathering: dict[Kind, Gathering] = {}
        self._closed: set[Batch] = set()
        """Those that wait for a handler or are in one."""
        self._inner = make(replace(reports, started=self._started, ended=self._ended, running=self._running))

    @property
    def ready(self) -> int:
        """How many handlers can run at once just now."""
        return self._inner.ready

    @property
    def surplus(self) -> int:
        """How many attempts are held beyond one for each call that they are."""
        with self._lock:
            sizes = [len(one.attempts) for one in self._gathering.values()]
            return sum(sizes) - len(sizes) + sum(len(batch.members) - 1 for batch in self._closed)

    def lacking(self) -> dict[BatchRule, int]:
        """How many more attempts each batch takes that is not full yet."""
        with self._lock:
            lacking: dict[BatchRule, int] = {}
            for (rule, _), one in self._gathering.items():
                lacking[rule] = min(rule.most - len(one.attempts), lacking.get(rule, rule.most))
            return lacking

    def start(self) -> None:
        """Begin."""
        self._inner.start()

    def submit(self, attempts: list[LiveAttempt]) -> None:
        """Run these as soon as there is room for each, or for the batch that each belongs to."""
        now = elapsed()
        with self._lock:
            units: list[Any] = []
            for attempt in attempts:
                units += self._placed(attempt, now)
            waits = bool(self._gathering)
        if units:
            self._inner.submit(units)
        if waits:
            self._reports.look()

    def drain(self) -> list[LiveAttempt]:
        """Take back what has not started."""
        with self._lock:
            taken = [one for gathering in self._gathering.values() for one in gathering.attempts]
            self._gathering.clear()
        for unit in self._inner.drain():
            taken += self._opened(unit) if isinstance(unit, Batch) else [unit]
        return taken

    def step(self, now: float) -> float:
        """Close the batches that have waited, and interrupt what must not go on; the seconds until the next look."""
        with self._lock:
            due = [kind for kind, one in self._gathering.items() if one.until <= now]
            units: list[Any] = [self._close(kind) for kind in due]
            soonest = min((one.until - now for one in self._gathering.values()), default=FOREVER)
        if units:
            self._inner.submit(units)
        return min(self._inner.step(now), soonest)

    def where(self, attempt: LiveAttempt) -> str:
        """Where its handler stands, for a log line."""
        with self._lock:
            unit: Any = next((batch for batch in self._closed if attempt in batch.members), attempt)
        return self._inner.where(unit)

    def close(self) -> None:
        """Let go of everything: no attempt is open any more."""
        self._inner.close()

    def _placed(self, attempt: LiveAttempt, now: float) -> list[Any]:
        """What is to run because of a new attempt: itself, or the batch that it fills. With the lock held."""
        rule = self._handler.rule_of(attempt.task)
        if rule is None:
            return [attempt]
        if attempt.lost_leases or is_last_chance(attempt):
            return [self._batch([attempt])]
        kind = rule, attempt.policy.deadline
        gathering = self._gathering.setdefault(kind, Gathering(now + rule.wait))
        gathering.attempts.append(attempt)
        return [self._close(kind)] if len(gathering.attempts) >= rule.most else []

    def _close(self, kind: Kind) -> Batch:
        return self._batch(self._gathering.pop(kind).attempts)

    def _batch(self, attempts: list[LiveAttempt]) -> Batch:
        batch = Batch(attempts)
        self._closed.add(batch)
        return batch

    def _opened(self, batch: Batch) -> list[LiveAttempt]:
        with self._lock:
            self._closed.discard(batch)
        return batch.members

    def _started(self, unit: Any) -> bool:
        """Let those start that still may; whether there is one."""
        if not isinstance(unit, Batch):
            return self._reports.started(unit)
        unit.members = [one for one in unit.members if self._reports.started(one)]
        if not unit.members:
            self._opened(unit)
        return bool(unit.members)

    def _running(self, unit: Any) -> None:
        for one in unit.members if isinstance(unit, Batch) else [unit]:
            self._reports.running(one)

    def _ended(self, unit: Any, outcome: Outcome, seconds: float) -> None:
        if not isinstance(unit, Batch):
            self._reports.ended(unit, outcome, seconds)
            return
        # Before their ends are reported: the room for more must not seem larger than it is.
        members = self._opened(unit)
        endings = outcome.value if isinstance(outcome, Returned) else [outcome] * len(members)
        errors = {id(one.error): place for place, one in enumerate(endings) if isinstance(one, Raised)}
        for place, (attempt, ending) in enumerate(zip(members, endings, strict=True)):
            last = not isinstance(ending, Raised) or errors[id(ending.error)] == place
            self._reports.ended(attempt, ending, seconds / len(members), last=last)


def is_last_chance(attempt: LiveAttempt) -> bool:
    """Whether its task has failed before, and fails for good if this attempt does."""
    most, task = attempt.policy.max_retries, attempt.task
    return most is not None and task.retries > 0 and task.charged > most
