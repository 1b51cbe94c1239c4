"""Sums of what attempts did, of one task function or of many: they are added up, never counted again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mongoq.core.lifecycle import Event
from mongoq.history.buckets import Histogram, add, added_up

LOST: Final = "lost"
"""The outcome of an attempt whose lease was over before its ending was written."""
OUTCOMES: Final = (
    Event.COMPLETE.value, Event.FAIL.value, Event.CANCEL.value, Event.RETRY.value, Event.SNOOZE.value,
    Event.MOVE.value, Event.RELEASE.value, LOST,
)  # fmt: skip
"""How an attempt can end."""
FINAL: Final = (Event.COMPLETE.value, Event.FAIL.value, Event.CANCEL.value)
"""The outcomes after which the task is not run again."""


class Sums:
    """How many attempts started, how they ended, and how long they waited and ran."""

    __slots__ = ("arrivals", "depth", "ends", "run_seconds", "runs", "starts", "wait_seconds", "waits")

    def __init__(self) -> None:
        self.starts = 0
        self.ends: dict[str, int] = {}
        """By outcome."""
        self.waits: Histogram = {}
        """From when a task was due to its start."""
        self.runs: Histogram = {}
        """From its start to the end of its handler."""
        self.wait_seconds = 0.0
        self.run_seconds = 0.0
        self.depth: dict[str, float] = {}
        """The most that was seen of each figure of the depth, where somebody looked."""
        self.arrivals: int | None = None
        """How many tasks came; None: nobody looked."""

    def started(self, waits: list[float]) -> None:
        """Note that attempts started after so many seconds of waiting each."""
        self.starts += len(waits)
        self.wait_seconds += added_up(self.waits, waits)

    def ended(self, outcome: str, runs: Sequence[float | None]) -> None:
        """Note that attempts ended, after so many seconds in their handlers; None: in none."""
        self.ends[outcome] = self.ends.get(outcome, 0) + len(runs)
        self.run_seconds += added_up(self.runs, [ran for ran in runs if ran is not None])

    def add(self, other: Sums) -> None:
        """Add the counts of others."""
        self.starts += other.starts
        for outcome, count in other.ends.items():
            self.ends[outcome] = self.ends.get(outcome, 0) + count
        add(self.waits, other.waits)
        add(self.runs, other.runs)
        self.wait_seconds += other.wait_seconds
        self.run_seconds += other.run_seconds
        for name, figure in other.depth.items():
            self.depth[name] = max(figure, self.depth.get(name, figure))
        if other.arrivals is not None:
            self.arrivals = (self.arrivals or 0) + other.arrivals

    @property
    def finished(self) -> int:
        """How many attempts were the last of their task."""
        return sum(self.ends.get(outcome, 0) for outcome in FINAL)

    @property
    def left(self) -> int:
        """After how many attempts the task was not in the queue any more, as an unfinished one."""
        return self.finished + self.ends.get(Event.MOVE.value, 0)
