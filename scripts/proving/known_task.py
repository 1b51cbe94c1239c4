"""One task, as a model knows it, and the little that all of them share."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from mongoq.core.lifecycle import Event, TaskState

GRACE: Final = timedelta(seconds=1)
"""How long beyond a lease its holder is left alone."""


@dataclass
class Known:
    """One task, as it must be."""

    key: str
    queue: str
    state: TaskState
    priority: int
    run_at: datetime
    tags: dict[str, Any]
    unique: str | None = None
    expires_at: datetime | None = None
    attempts: int = 0
    uncharged: int = 0
    retries: int = 0
    lost_leases: int = 0
    version: int = 1
    token: str | None = None
    lease_until: datetime | None = None
    cancel_requested: bool = False
    moved_from: str | None = None
    ended: tuple[str, Event] | None = field(default=None, metadata={"hidden": True})
    """Whose ending was accepted last, and as what: repeated, it is accepted again."""
    marks: tuple[str, ...] = ()
    """The modifications that wrote it, the last one at the end."""

    def shown(self) -> dict[str, Any]:
        """What can be compared with a real task."""
        return {name: value for name, value in asdict(self).items() if name not in ("ended", "marks")}

    def lapsed(self, now: datetime) -> bool:
        """Whether its holder did not renew, and more than a moment ago."""
        return self.lease_until is not None and self.lease_until <= now - GRACE

    def overdue(self, now: datetime) -> bool:
        """Whether it should have been completed by now."""
        return self.expires_at is not None and self.expires_at <= now

    def free(self, state: TaskState) -> None:
        """Nobody's any more."""
        self.state, self.token, self.lease_until = state, None, None
        self.version += 1

    def ready_by(self, now: datetime) -> TaskState:
        """Where it stands while it waits."""
        return TaskState.READY if self.run_at <= now else TaskState.SCHEDULED

    def fresh(self) -> None:
        """Start to count its attempts anew."""
        self.uncharged = self.attempts

    def go(self, queue: str) -> None:
        """Stand in another queue from now on."""
        self.queue, self.moved_from = queue, self.queue
