"""A batch, as it stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mongoq.core.errors import MongoqError

__all__ = ["Batch", "BatchFinished", "BatchNotFound"]


class BatchNotFound(MongoqError, LookupError):
    """No batch has this key: it never existed, or its callback is no longer kept."""


class BatchFinished(MongoqError, RuntimeError):
    """The batch has called back, or is closed and has no member left: it takes no new members."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch, with the counts of its members."""

    key: str
    """Its identifier, and that of its callback's task."""
    open: bool
    """Whether its block has not ended, or an error left it open: it does not call back."""
    parent: str | None
    """The batch that it is nested in."""
    created_at: datetime
    """When it was opened, server time."""
    called_at: datetime | None
    """When its callback was enqueued; None while it has members left, or is open."""
    callback: str | None
    """The key of the task that was enqueued; None where there is none."""
    waiting: int = 0
    """Members that are ready, scheduled or parked."""
    running: int = 0
    """Members that run."""
    completed: int = 0
    """Members that completed, as the other counts say of other ends."""
    failed: int = 0
    """Members that failed."""
    cancelled: int = 0
    """Members that were cancelled."""
    expired: int = 0
    """Members that expired."""

    @property
    def left(self) -> int:
        """How many members have not ended."""
        return self.waiting + self.running

    @property
    def ended(self) -> int:
        """How many members have ended, however they did."""
        return self.completed + self.failed + self.cancelled + self.expired

    @property
    def total(self) -> int:
        """How many members it has."""
        return self.left + self.ended

    @property
    def finished(self) -> bool:
        """Whether it has called back."""
        return self.called_at is not None
