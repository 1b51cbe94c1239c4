"""One act of an operator, as it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

__all__ = ["AuditEntry"]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What somebody did to the tasks, queues, workers or schedules of a namespace."""

    id: str
    """Its identifier, for `audit_count` and `audit_end`."""
    act: str
    """What was done: `retry`, `cancel`, `pause`."""
    by: str
    """Who did it."""
    about: Mapping[str, Any]
    """What it was done to: a key, a queue, or the filter of many."""
    at: datetime
    """When it began, server time."""
    count: int
    """How many tasks it has changed so far."""
    ended_at: datetime | None
    """When it ended; None: it is going on, or was interrupted."""
    error: str | None
    """Why it failed; None if it did not."""
