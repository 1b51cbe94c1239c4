"""How many of the tasks that claimers of one queue find they lose to each other: a simulation.

Each claimer takes its place from the worker's own `Contention`, finds a batch there, claims its tasks one after the
other, works them off, and claims again: `PYTHONPATH=scripts .venv/bin/python -m benchmarks.meeting`.
"""

from __future__ import annotations

import heapq
import random
from typing import Final

from mongoq.worker.services.contention import Contention

BLOCK: Final = 25
"""Tasks that are claimed together, to save time."""
BATCH: Final = 40
"""Blocks of a claim."""
CLAIM: Final = 0.0375
WORK: Final = 0.0625
"""Seconds of a claim, and of the work on what it got, for each of the claimers: all share the cores."""


class Claimer:
    """One process: what it has found, and how far it has come with claiming that."""

    def __init__(self) -> None:
        self.contention = Contention()
        self.found: list[int] = []
        self.tried = self.got = 0

    def find(self, ready: list[int], now: float) -> None:
        """Find a batch: at the place of this claimer, or at the head where the queue ends before that."""
        skip = self.contention.place(now) * BATCH
        self.found = ready[skip : skip + BATCH]
        if skip and len(self.found) < BATCH:
            self.contention.too_far()
        self.found = self.found or ready[:BATCH]
        self.tried = self.got = 0

    def take(self, taken: set[int]) -> bool:
        """Claim the next block of what was found; whether that was the last."""
        block = self.found[self.tried]
        self.got += block not in taken
        taken.add(block)
        self.tried += 1
        if self.tried == len(self.found):
            self.contention.claimed(self.tried, self.tried - self.got)
        return self.tried == len(self.found)


def lost(claimers: int, tasks: int) -> float:
    """How many tasks were found in vain, for each that was claimed."""
    ready, taken, in_vain = list(range(tasks // BLOCK)), set[int](), 0
    fleet = [Claimer() for _ in range(claimers)]
    events = [(random.random() * 0.05, number) for number in range(claimers)]  # noqa: S311 -- no secret
    heapq.heapify(events)
    while events:
        now, number = heapq.heappop(events)
        one = fleet[number]
        if one.found:
            claimed = one.take(taken)
            pause = CLAIM * claimers * random.uniform(0.5, 1.5) / len(one.found)  # noqa: S311 -- no secret
            if claimed:
                in_vain += one.tried - one.got
                one.found = []
                pause = 0.01 + WORK * claimers * random.uniform(0.5, 1.5) * one.got / BATCH  # noqa: S311 -- no secret
        else:
            ready = [block for block in ready if block not in taken]
            one.find(ready, now)
            if not one.found:
                continue
            pause = 0.3 * CLAIM * claimers
        heapq.heappush(events, (now + pause, number))
    return in_vain / len(taken)


def main() -> None:
    """Print a table."""
    random.seed(7)
    print("| claimers | 30,000 tasks | 100,000 tasks |\n|---|---|---|")
    for claimers in (2, 4, 8, 16, 32):
        few, many = (sum(lost(claimers, tasks) for _ in range(3)) / 3 for tasks in (30_000, 100_000))
        print(f"| {claimers} | {few:.2f} | {many:.2f} |")


if __name__ == "__main__":
    main()
