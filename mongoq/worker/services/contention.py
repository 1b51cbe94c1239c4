"""Where in the queue a claimer takes its batch, so that many processes do not all fight for the head.

A process that loses tasks of its batch to another moves back: it takes its next batch a few batches further down, at
random, among tasks of the same priority, and stays there as long as it loses nothing. So the processes of a fleet
spread out (with two of them at the head, one lost nearly all that it had found). One claim in as many as they have
spread over is made at the head, and one in as many seconds, so that no task stays there when a process ends. With one a
second whatever the spread, eight processes that claim once a second all met there, and lost 0.75 of a task for each
that they got.
"""

from __future__ import annotations

import random
from typing import Final

WIDEST: Final = 16
"""Batches."""
MUCH: Final = 0.1
"""The share of a batch whose loss makes it worth moving back."""
MOST: Final = 0.5
"""The share whose loss says that several others are at this place."""


class Contention:
    """The place of one claimer. No I/O."""

    def __init__(self, first: int = 0) -> None:
        self._first = first
        self._width = 1
        self._place = first
        self._behind = 0
        """Claims behind the head since the last one at the head."""
        self._at_the_head_at = float("-inf")

    def place(self, now: float) -> int:
        """How many batches to skip before the next one, at `now`."""
        self._behind += 1
        turn = self._behind >= self._width or now - self._at_the_head_at >= self._width
        if self._first or (self._place and not turn):
            return self._place
        self._behind, self._at_the_head_at = 0, now
        return 0

    def claimed(self, found: int, lost: int) -> None:
        """Note how a claim went: `lost` of those `found` went to other workers."""
        if lost > found * MUCH:
            self._width = min(WIDEST, self._width * (4 if lost > found * MOST else 2))
            self._place = self._first + random.randrange(self._width)  # noqa: S311 -- no secret

    def spread(self, count: int, now: float) -> None:
        """Note that so many processes are about to claim at the head."""
        self._width = min(WIDEST, count)
        self._place = self._first + random.randrange(count)  # noqa: S311 -- no secret
        self._behind, self._at_the_head_at = 0, now

    def too_far(self) -> None:
        """Note that there was no whole batch of one priority at this place: the queue is short."""
        self._width = max(1, self._width // 2)
        self._place = min(self._place, self._first + self._width - 1)
