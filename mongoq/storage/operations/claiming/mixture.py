"""How a worker with many names finds its tasks."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

MANY: Final = 4
"""Names."""
DEEP: Final = 100
"""Tasks of a find."""
MOST_FOREIGN: Final = 0.1
REST: Final = 10.0
"""Seconds."""


class Mixture:
    """How a worker with many names finds its tasks: by their names, or among all ready ones while nearly all are its.

    The server merges one scan of an index for each name: with 50 names that took 11.5 µs per task of a batch, one scan
    of all 4. What that scan passes over is lost, so after one with too many foreign tasks it is left alone for a while:
    a batch of theirs is all that tasks of unknown names can cost.
    """

    def __init__(self, names: Collection[str]) -> None:
        self.names = frozenset(names)
        self.deep = False
        """Whether the last find by names was full: only then a scan of all is worth a try."""
        self._again_at = 0.0

    def among_all(self, now: float) -> bool:
        """Whether to look among all ready tasks now."""
        return self.deep and len(self.names) >= MANY and now >= self._again_at

    def note(self, found: int, own: int, limit: int, now: float) -> bool:
        """Note how many of those found were its own; whether that will do."""
        self.found(found, limit)
        if own >= found * (1 - MOST_FOREIGN) and self.deep:
            return True
        if own < found:
            self._again_at = now + REST
        self.deep = False
        return False

    def found(self, found: int, limit: int) -> None:
        """Note how many a find found."""
        self.deep = found >= min(limit, DEEP)
