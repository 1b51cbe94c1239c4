"""How full a limit is, over all its groups."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

__all__ = ["LimitStats"]

MOST: Final = 1_000
"""Limits whose figures are kept, by name."""


@dataclass(frozen=True, slots=True)
class LimitStats:
    """How many tasks of a limit run and wait, over all its groups."""

    limit: str
    """The name of the limit."""
    concurrency: int | None = None
    """How many tasks of each group run at once; None: any number."""
    rate: float | None = None
    """How many tasks of each group start in a second; None: any number."""
    running: int = 0
    """How many slots are in use; 0 where it has a rate alone."""
    waiting: int = 0
    """How many tasks are parked until there is room."""
    groups_running: int = 0
    """How many groups have a slot in use."""
    groups_waiting: int = 0
    """How many groups have a task that waits."""
    fullest: int = 0
    """How many slots of the fullest group are in use."""
    counted_at: datetime | None = None
    """When it was counted; None: for this call."""

    @property
    def use(self) -> float | None:
        """The share of its slots that the fullest group has in use; None without a concurrency."""
        return None if self.concurrency is None else self.fullest / self.concurrency
