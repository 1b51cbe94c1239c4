"""What a reader of the history gets, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mongoq.history.buckets import Histogram, quantiles

__all__ = ["HistoryPoint", "HistoryStep", "Timing"]


class HistoryStep(StrEnum):
    """How much time one point of the history covers."""

    MINUTE = "minute"
    """Kept for 7 days."""
    HOUR = "hour"
    """Kept for 90 days."""
    DAY = "day"
    """Kept for a year; a day of UTC."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long something took. Percentiles come from a histogram and are off by a fifth at most."""

    count: int
    """How many were measured."""
    mean: timedelta
    """The mean, exact."""
    p50: timedelta
    """The median."""
    p95: timedelta
    """The 95th percentile."""
    p99: timedelta
    """The 99th percentile."""


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """What happened in one minute, hour or day."""

    at: datetime
    """Its beginning, UTC."""
    starts: int = 0
    """How many attempts started."""
    completed: int = 0
    """Attempts after which their task was completed."""
    failed: int = 0
    """Those that failed for good."""
    cancelled: int = 0
    """Those that ended as cancelled."""
    retried: int = 0
    """Attempts after which the task is to run again because of an error."""
    snoozed: int = 0
    """Attempts whose handler asked to run later."""
    moved: int = 0
    """Attempts whose handler sent the task to another queue."""
    released: int = 0
    """Attempts that were released after they had started."""
    lost: int = 0
    """Attempts whose lease was over before their ending was written."""
    wait: Timing | None = None
    """From when a task was due to its start; None where nothing started."""
    run: Timing | None = None
    """From its start to the end of its handler; None where none ended."""
    arrivals: int | None = None
    """How many tasks came: the growth of the depth plus the tasks that left. None if no depth was counted then."""
    ready: int | None = None
    """The highest count of ready tasks; None if none was taken, as for the next four."""
    scheduled: int | None = None
    """The highest count of scheduled tasks."""
    running: int | None = None
    """The highest count of running tasks."""
    parked: int | None = None
    """The highest count of parked tasks."""
    unhandled: int | None = None
    """The highest count of ready tasks that no live worker took."""
    oldest_ready: timedelta | None = None
    """The highest age of the oldest ready task."""
    releases: tuple[str, ...] = ()
    """The releases that were first marked then: see `queue.mark_release`."""

    @property
    def ended(self) -> int:
        """How many attempts ended, in whatever way."""
        return self.finished + self.retried + self.snoozed + self.moved + self.released + self.lost

    @property
    def finished(self) -> int:
        """How many attempts were the last of their task: completed, failed or cancelled."""
        return self.completed + self.failed + self.cancelled


def timing(histogram: Histogram, seconds: float) -> Timing | None:
    """The figures of a histogram whose durations sum up to so many seconds; None where it is empty."""
    count = sum(histogram.values())
    if not count:
        return None
    p50, p95, p99 = (timedelta(seconds=one) for one in quantiles(histogram, 0.5, 0.95, 0.99))
    return Timing(count, timedelta(seconds=seconds / count), p50, p95, p99)
