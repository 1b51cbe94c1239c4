"""What the whole fleet looks like at one moment, and what is wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, Final
from urllib.parse import urlencode

from mongoq import LimitStats, Pause, QueueStats, Schedule, TaskPage, TaskState, WorkerInfo
from mongoq.core.clock import elapsed
from mongoq.dashboard.service.gateway import Gateway
from mongoq.diagnosis.facts import Failures, Fleet, Host, Schedules
from mongoq.diagnosis.finding import Finding, Level
from mongoq.diagnosis.registry import judge

LEVELS: Final = {Level.FAULT: "bad", Level.WARNING: "warn", Level.NOTE: "note"}
"""How the pages call the levels."""
OF_TASKS: Final = ("queue.unserved", "queue.unhandled", "queue.lags")
LINKS: Final = {
    "queue": "/queues", "queue.dead": "/dead", "queue.failures": "/failures", "worker": "/workers", "host": "/workers",
    "namespace": "/workers", "schedule": "/schedules",
}  # fmt: skip
"""Where to look, by check or by the kind of thing that it is about."""
RECENT: Final = timedelta(hours=1)
MOST_FAILURES: Final = 25
COUNTED: Final = (*(state.value for state in TaskState), "unhandled")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was read at one moment."""

    at: datetime
    """Server time."""
    took: float
    """Seconds that it took to read."""
    skew: float
    """Seconds by which this host's clock is ahead of the server's."""
    stats: dict[str, QueueStats]
    workers: list[WorkerInfo]
    pauses: list[Pause]
    schedules: list[Schedule]
    failures: TaskPage
    """The newest tasks that failed within the last hour."""
    limits: dict[str, LimitStats] = field(default_factory=dict)
    """How full each limit is."""
    sums: QueueStats = field(default_factory=lambda: QueueStats(""))
    """All queues together."""
    judged: dict[timedelta, list[Problem]] = field(default_factory=dict, compare=False)
    """What is wrong, as it was found for each `oldest`."""

    @property
    def slots(self) -> int:
        """How many handlers may run at once."""
        return sum(worker.workers for worker in self.workers)

    @property
    def busy(self) -> int:
        """How many tasks the workers hold."""
        return sum(worker.running for worker in self.workers)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong, or that somebody should know."""

    level: str
    """`bad`, `warn` or `note`."""
    text: str
    detail: str
    link: str
    """Where to look, below the root of the dashboard."""


async def read(gateway: Gateway) -> Snapshot:
    """Read everything that the pages of the whole fleet show."""
    began = elapsed()
    before = datetime.now(UTC)
    at = await gateway.ask("time")
    skew = ((before + (datetime.now(UTC) - before) / 2) - at).total_seconds()
    stats, workers, pauses, schedules, failures, limits = await asyncio.gather(
        *(gateway.ask(verb) for verb in ("stats", "workers", "pauses", "schedules")),
        gateway.ask("page", state=TaskState.FAILED, since=at - RECENT, limit=MOST_FAILURES),
        gateway.ask("limit_stats"),
    )
    took = elapsed() - began
    return Snapshot(at, took, skew, stats, workers, pauses, schedules, failures, limits, _summed(stats))


def problems(now: Snapshot, oldest: timedelta) -> list[Problem]:
    """What is wrong, the worst first; `oldest` is how long a task may be due before somebody should know.

    It is judged once for all pages and open tabs.
    """
    if oldest not in now.judged:
        now.judged[oldest] = _judged(now, oldest)
    return now.judged[oldest]


def _judged(now: Snapshot, oldest: timedelta) -> list[Problem]:
    found = judge(
        Fleet(now.at, now.stats, now.workers, now.pauses, lag=oldest),
        Schedules(now.at, now.schedules),
        Failures(now.failures.tasks, now.failures.after is not None),
        Host(timedelta(seconds=now.skew)),
    )
    return [Problem(LEVELS[one.level], one.problem, one.effect, _link(one)) for one in found.findings]


def _link(found: Finding) -> str:
    """The page that shows what a finding is about."""
    if found.check in OF_TASKS:
        return f"/tasks?{urlencode({'queue': found.about, 'state': TaskState.READY.value})}"
    return LINKS.get(found.check) or LINKS[found.check.partition(".")[0]]


def _summed(stats: dict[str, QueueStats]) -> QueueStats:
    rows = stats.values()
    waits = [row.oldest_ready for row in rows if row.oldest_ready is not None]
    counts: dict[str, Any] = {name: sum(map(attrgetter(name), rows)) for name in COUNTED}
    return QueueStats(
        "",
        **counts,
        oldest_ready=max(waits, default=None),
        arrivals=_rate(row.arrivals for row in rows),
        finishes=_rate(row.finishes for row in rows),
    )


def _rate(rates: Iterable[float | None]) -> float | None:
    """The sum of the rates that are known; None where none is."""
    known = [rate for rate in rates if rate is not None]
    return sum(known) if known else None
