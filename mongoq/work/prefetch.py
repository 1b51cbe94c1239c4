"""How many tasks to hold beyond those that run: enough to keep the handlers busy, too few to hoard."""

from __future__ import annotations

from typing import Final

HELD_AHEAD: Final = 0.1
"""Seconds of work that may wait in this process."""
MOST_AHEAD: Final = 2_000
WEIGHT: Final = 0.05


class Prefetch:
    """Follows the measured speed of the handlers.

    No task waits here for longer than 0.1 s at that speed: a process whose slots come free more rarely claims
    for its free slots only, and so does one that has not measured anything yet.
    """

    def __init__(self) -> None:
        self._mean: float | None = None

    def ended(self, seconds: float) -> None:
        """Note how long one handler ran. Called by many threads; a lost note does no harm."""
        mean = self._mean
        self._mean = seconds if mean is None else mean + (seconds - mean) * WEIGHT

    def forget(self) -> None:
        """Start afresh: what was measured holds no more."""
        self._mean = None

    def wanted(self, workers: int) -> int:
        """How many tasks to hold beyond one for each of `workers` handlers."""
        if self._mean is None:
            return 0
        # A slot comes free every mean / workers seconds, and each task that waits takes one.
        return min(MOST_AHEAD, int(workers * HELD_AHEAD / max(self._mean, 1e-6)))
