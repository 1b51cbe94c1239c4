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
    """How long something took, of so many. Percentiles are read off a histogram: wrong by a fifth at most."""

    count: int
    """How many were measured."""
    mean: timedelta
    """The mean, exact."""
    p50: timedelta
    """The median."""
    p95: timedelta
    """95 of 100 took no longer."""
    p99: timedelta
    """99 of 100 took no longer."""


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
    """Attempts that were given back after they had started."""
    lost: int = 0
    """Attempts whose lease was over before their ending was written."""
    wait: Timing | None = None
    """From when a task was due to its start; None where nothing started."""
    run: Timing | None = None
    """From its start to the end of its handler; None where none ended."""
    arrivals: int | None = None
    """How many tasks came: what the depth grew by, and what left. None where nobody looked at the depth then."""
    ready: int | None = None
    """The most ready tasks that were seen; None where nobody looked, as for the next four."""
    scheduled: int | None = None
    """The most scheduled tasks that were seen."""
    running: int | None = None
    """The most that were seen to run."""
    parked: int | None = None
    """The most parked tasks that were seen."""
    unhandled: int | None = None
    """The most ready tasks that no live worker took."""
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
