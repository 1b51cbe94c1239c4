"""What operators read about queues, workers and long work, as frozen values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, make_dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mongoq.core.fleet import SILENT
from mongoq.history.point import Timing

LONGEST_TIME: Final = timedelta(days=3650)

__all__ = ["OnProgress", "Progress", "QueueStats", "WorkerInfo"]


@dataclass(frozen=True, slots=True)
class QueueStats:
    """The number of tasks of one queue in each state, and the age of the oldest ready one."""

    queue: str
    """Its name."""
    ready: int = 0
    """Those that may be claimed now."""
    scheduled: int = 0
    """Those that wait for their time: a delay, or a retry."""
    running: int = 0
    """Those that are claimed."""
    parked: int = 0
    """Those that wait for parents, room in a limit, the end of a pause, or the members of a batch."""
    completed: int = 0
    """Those that completed and are still kept."""
    failed: int = 0
    """Those that failed and are still kept."""
    expired: int = 0
    """Those that expired and are still kept."""
    cancelled: int = 0
    """Those that were cancelled and are still kept."""
    oldest_ready: timedelta | None = None
    """How long the oldest ready task has been due; None when none is ready."""
    most_attempts: int | None = None
    """The highest count of attempts among the unfinished tasks; None when it was not asked for."""
    unhandled: int = 0
    """How many ready tasks no live worker of this queue takes: those whose name no worker knows, and those without a
    name if all its workers run only task functions."""

    paused: bool = False
    """Whether it, or everything, is paused, so that none of its tasks is claimed: see `queue.pauses()`."""

    arrivals: float | None = None
    """Tasks that came, per second, over about the last minute; None until a worker has counted for 10 s.

    It is the growth of the depth plus the tasks that left: too low if tasks are deleted or cancelled by hand.
    """
    starts: float | None = None
    """Attempts that started, per second, likewise."""
    finishes: float | None = None
    """Tasks that completed, failed or were cancelled by their handler, per second, likewise."""
    wait: Timing | None = None
    """How long attempts of the last five minutes had waited for their start; None where none started."""
    run: Timing | None = None
    """How long attempts ran that ended in the last five minutes; None where none ended."""
    counted_at: datetime | None = None
    """When the tasks were counted; None: for this call."""

    @property
    def size(self) -> int:
        """The number of unfinished tasks."""
        return self.ready + self.scheduled + self.running + self.parked

    @property
    def time_to_empty(self) -> timedelta | None:
        """How long until all unfinished tasks are done, at the present rates; None if their number does not fall."""
        if not self.size:
            return timedelta(0)
        if self.arrivals is None or self.finishes is None or self.finishes <= self.arrivals:
            return None
        return min(timedelta(seconds=self.size / (self.finishes - self.arrivals)), LONGEST_TIME)


_Draft = make_dataclass("_Draft", [item.name for item in fields(QueueStats)], slots=True, eq=False, repr=False)
"""A class with the layout of `QueueStats` that is not frozen."""


def stats_of(*values: Any) -> QueueStats:
    """Make the figures of a queue from the values of their fields in order, as `QueueStats(...)` does but faster.

    A frozen dataclass sets each field by a call: 10,000 take 39 ms, and 5 ms as drafts that become `QueueStats`.
    """
    draft: Any = _Draft(*values)
    draft.__class__ = QueueStats
    return draft  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """One worker process, as its last heartbeat described it."""

    id: str
    """`host:pid:random`."""
    host: str
    """The name of its host."""
    pid: int
    """The number of its process there."""
    queues: tuple[str, ...]
    """The queues that it works on."""
    workers: int
    """The number of handlers that it runs at once."""
    running: int
    """The number of handlers that ran."""
    names: tuple[str, ...]
    """The names of the tasks that it takes; empty where it has a handler for all."""
    started_at: datetime
    """When it started, server time."""
    seen_at: datetime
    """Its last heartbeat, server time. One is sent every 5 s, every 10 s while idle (3 s by one that
    watches for others), and deleted after 60 s."""
    ahead: int = 0
    """The number of tasks that it had claimed ahead, for handlers that become free."""
    version: str | None = None
    """The version of mongoq that it runs; None where it does not tell."""
    pool: int | None = None
    """How many connections its MongoDB client may have; None where it does not tell, or where there is no limit."""
    ahead_of_server: timedelta | None = None
    """By how much the clock of its host is ahead of the server's; None where it does not tell."""

    def silent(self, now: datetime | None = None) -> timedelta:
        """The time since the last heartbeat, at `now` (server time)."""
        return (now or datetime.now(UTC)) - self.seen_at

    def is_silent(self, now: datetime | None = None) -> bool:
        """Whether it sent no heartbeat for 25 s: it is dead, frozen or cut off."""
        return self.silent(now) > SILENT

    def takes(self, queue: str, name: str | None) -> bool:
        """Whether it takes tasks of this queue and name; without names of its own it takes all."""
        return queue in self.queues and (not self.names or name in self.names)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far long work has come."""

    work: str
    """What is done: the name of the verb, or of the indexes that are built, with the server's own name of the phase."""
    done: int
    """How many tasks were changed, or documents read."""
    total: int | None = None
    """Of how many; None: not known."""


OnProgress = Callable[[Progress], object]
"""Is called from time to time, in the thread (or on the loop) of the caller: it should be quick."""
