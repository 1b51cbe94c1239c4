"""Schedules as values: what a user defines, and what is stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from mongoq.core.errors import MongoqError
from mongoq.core.tasks.new_task import NewTask
from mongoq.scheduling.timing import Timing

__all__ = ["Schedule", "ScheduleNotFound"]


class ScheduleNotFound(MongoqError, LookupError):
    """No schedule has this name: it never existed, or was deleted."""


LATE: Final = timedelta(seconds=90)


@dataclass(frozen=True, slots=True)
class Definition:
    """What a schedule is to do, checked."""

    name: str
    timing: Timing
    task: NewTask
    catch_up: str | timedelta
    jitter: timedelta
    overlap: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as it is stored in the database."""

    name: str
    """Its name."""
    task: NewTask
    """The task that each tick enqueues."""
    cron: str | None
    """Its cron expression; None if it is an interval."""
    tz: str
    """The time zone of the expression."""
    every: timedelta | None
    """Its interval; None if it is a cron expression."""
    catch_up: str | timedelta
    """Which missed ticks are enqueued late: `latest`, `none`, `all`, or those that are no older than this."""
    jitter: timedelta
    """The longest random delay of a tick's task."""
    overlap: str
    """What a tick does while the task of the last one has not finished: `skip` or `queue`."""
    next_at: datetime | None
    """The next tick; None while it is paused, or if the expression has no further tick."""
    last_at: datetime | None
    """The last tick whose task was enqueued."""
    last_key: str | None
    """The key of that task."""
    skipped: int
    """How many ticks were skipped because the task of the last one had not finished."""
    paused_at: datetime | None
    """Since when it is paused."""
    paused_by: str | None
    """Who paused it."""
    reason: str | None
    """Why it is paused, or why its last tick could not be enqueued."""
    anchor: datetime
    """The ticks of an interval are counted from here."""
    from_code: bool
    """Whether `@queue.cron` defines it."""
    version: int
    """Grows with every change of it."""

    @property
    def paused(self) -> bool:
        """Whether it is paused."""
        return self.paused_at is not None

    def late(self, now: datetime) -> timedelta | None:
        """How long its next tick has been due at `now`, server time; None where that is less than 90 s, or paused.

        A tick is enqueued within seconds where any worker of the namespace lives.
        """
        if self.next_at is None or self.paused:
            return None
        due = now - self.next_at
        return due if due > LATE else None

    @property
    def timing(self) -> Timing:
        """When it ticks."""
        return Timing(self.cron, self.tz, self.every, self.anchor)

    @property
    def definition(self) -> Definition:
        """What it is to do."""
        return Definition(self.name, self.timing, self.task, self.catch_up, self.jitter, self.overlap)
