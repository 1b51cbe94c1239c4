"""What the whole fleet looks like at one moment, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from mongoq import LimitStats, Pause, QueueStats, Schedule, TaskPage, TaskState, WorkerInfo
from mongoq.core.clock import elapsed
from mongoq.core.fleet import SILENT
from mongoq.dashboard.service.gateway import Gateway

SKEW: Final = 1.0
RECENT: Final = timedelta(hours=1)
MOST_FAILURES: Final = 25


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
    stats = await gateway.ask("stats")
    workers = await gateway.ask("workers")
    pauses = await gateway.ask("pauses")
    schedules = await gateway.ask("schedules")
    failures = await gateway.ask("page", state=TaskState.FAILED, since=at - RECENT, limit=MOST_FAILURES)
    limits = await gateway.ask("limit_stats")
    took = elapsed() - began
    return Snapshot(at, took, skew, stats, workers, pauses, schedules, failures, limits, _summed(stats))


def problems(now: Snapshot, oldest: timedelta) -> list[Problem]:
    """What is wrong, the worst first; `oldest` is how long a task may be due before somebody should know."""
    found = [*_queues(now, oldest), *_failures(now), *_workers(now), *_schedules(now)]
    if abs(now.skew) > SKEW:
        side = "ahead of" if now.skew > 0 else "behind"
        text = f"The clock of this host is {abs(now.skew):.1f} s {side} the database's"
        found.append(Problem("warn", text, "tasks are timed by the database's clock", "/workers"))
    found += [
        Problem("note", f"{str(pause)[:1].upper()}{str(pause)[1:]} is paused", _why(pause), "/queues")
        for pause in now.pauses
    ]
    return sorted(found, key=lambda one: ("bad", "warn", "note").index(one.level))


def _queues(now: Snapshot, oldest: timedelta) -> list[Problem]:
    found = []
    served = {queue for worker in now.workers for queue in worker.queues}
    for queue, row in now.stats.items():
        link = f"/tasks?queue={queue}&state={TaskState.READY.value}"
        if row.paused or not row.ready:
            continue
        if queue not in served:
            found.append(Problem("bad", f"No worker serves {queue}", f"{row.ready:,} tasks are ready", link))
        elif row.unhandled:
            text = f"{row.unhandled:,} tasks of {queue} have a name that no worker knows"
            found.append(Problem("bad", text, "a worker with the newest code is missing, or a name was changed", link))
        elif row.oldest_ready is not None and row.oldest_ready > oldest:
            seconds = int(row.oldest_ready.total_seconds())
            found.append(
                Problem("warn", f"{queue} lags behind", f"its oldest task is due since {_span(seconds)}", link)
            )
    return sorted(found, key=lambda one: one.level)[:10]


def _failures(now: Snapshot) -> list[Problem]:
    tasks = now.failures.tasks
    if not tasks:
        return []
    kinds: dict[str, int] = {}
    for task in tasks:
        kind = task.last_error.type if task.last_error else "without an error"
        kinds[kind] = kinds.get(kind, 0) + 1
    more = "+" if now.failures.after else ""
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items(), key=lambda item: -item[1])[:3])
    text = f"{len(tasks)}{more} task{'s' if len(tasks) > 1 else ''} failed within the last hour"
    return [Problem("bad" if len(tasks) >= MOST_FAILURES else "warn", text, told, "/failures")]


def _workers(now: Snapshot) -> list[Problem]:
    silent = [worker for worker in now.workers if worker.silent(now.at) > SILENT]
    if not silent:
        return []
    hosts = ", ".join(sorted({f"{worker.host}:{worker.pid}" for worker in silent})[:3])
    return [Problem("warn", f"{len(silent)} worker{'s' if len(silent) > 1 else ''} silent", hosts, "/workers")]


def _schedules(now: Snapshot) -> list[Problem]:
    found = []
    for one in now.schedules:
        late = one.late(now.at)
        if late is not None:
            told = f"its tick is due since {_span(int(late.total_seconds()))}"
            found.append(Problem("bad", f"The schedule {one.name} is late", told, "/schedules"))
        elif one.reason and not one.paused:
            found.append(Problem("bad", f"The schedule {one.name} cannot enqueue", one.reason, "/schedules"))
    return found[:10]


def _why(pause: Pause) -> str:
    until = f", until {pause.until:%H:%M} UTC" if pause.until else ""
    return f"by {pause.by}{until}{f': {pause.reason}' if pause.reason else ''}"


def _summed(stats: dict[str, QueueStats]) -> QueueStats:
    rows = stats.values()
    waits = [row.oldest_ready for row in rows if row.oldest_ready is not None]
    return QueueStats(
        "",
        ready=sum(row.ready for row in rows),
        scheduled=sum(row.scheduled for row in rows),
        running=sum(row.running for row in rows),
        parked=sum(row.parked for row in rows),
        completed=sum(row.completed for row in rows),
        failed=sum(row.failed for row in rows),
        expired=sum(row.expired for row in rows),
        cancelled=sum(row.cancelled for row in rows),
        oldest_ready=max(waits, default=None),
        unhandled=sum(row.unhandled for row in rows),
        arrivals=_rate(row.arrivals for row in rows),
        finishes=_rate(row.finishes for row in rows),
    )


def _rate(rates: Iterable[float | None]) -> float | None:
    """The sum of the rates that are known; None where none is."""
    known = [rate for rate in rates if rate is not None]
    return sum(known) if known else None


def _span(seconds: int) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
