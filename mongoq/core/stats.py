"""What operators read about queues and workers, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

__all__ = ["QueueStats", "WorkerInfo"]


@dataclass(frozen=True, slots=True)
class QueueStats:
    """The number of tasks of one queue in each state, and the age of the oldest ready one."""

    queue: str
    ready: int = 0
    scheduled: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0
    expired: int = 0
    cancelled: int = 0
    oldest_ready: timedelta | None = None
    """How long the oldest ready task has been due; None when none is ready."""
    most_attempts: int | None = None
    """The highest count of attempts among the unfinished tasks; None when it was not asked for."""

    @property
    def size(self) -> int:
        """The number of unfinished tasks."""
        return self.ready + self.scheduled + self.running


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """One worker process, as its last heartbeat described it."""

    id: str
    """`host:pid:random`."""
    host: str
    pid: int
    queues: tuple[str, ...]
    """The queues that it works on."""
    workers: int
    """The number of handlers that it runs at once."""
    running: int
    """The number of tasks that it held."""
    started_at: datetime
    seen_at: datetime
    """Its last heartbeat, server time. One is sent every 5 s, every 10 s while idle, and deleted after 60 s."""

    def silent(self, now: datetime | None = None) -> timedelta:
        """The time since the last heartbeat, at `now` (server time)."""
        return (now or datetime.now(UTC)) - self.seen_at
