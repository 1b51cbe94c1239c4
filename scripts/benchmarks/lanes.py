"""How far out of order tasks come where a namespace is cut into lanes: `python -m benchmarks.lanes`, a simulation.

A lane is a part of the tasks with an order of its own, as a shard has it. The backlog stays the same: each claimed task
is followed by a new one of a random priority in a random lane. The *rank error* of a claimed task is the number of
waiting tasks, in whatever lane, that are more urgent. It is 0 where one claim sees all lanes.
"""

from __future__ import annotations

import argparse
import random
import statistics
from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

LANES: Final = (1, 2, 4, 8, 16, 64)
BACKLOG: Final = 10_000
CLAIMS: Final = 20_000
Lane = list[float]
"""Its tasks by priority, the most urgent last."""


@dataclass(frozen=True, slots=True)
class Error:
    """The rank errors of one setting."""

    mean: float
    p99: float


def own(_lanes: list[Lane], turn: int, _chance: random.Random) -> int:
    """Each claimer has a lane, and the claimers take turns."""
    return turn % len(_lanes)


def any_one(lanes: list[Lane], _turn: int, chance: random.Random) -> int:
    """Claim from a random lane."""
    return chance.randrange(len(lanes))


def better_of_two(lanes: list[Lane], _turn: int, chance: random.Random) -> int:
    """Look at the heads of two random lanes, and claim from the one whose head is more urgent."""
    return max((chance.randrange(len(lanes)) for _ in range(2)), key=lambda lane: lanes[lane][-1:])


CHOICES: Final[dict[str, Callable[[list[Lane], int, random.Random], int]]] = {
    "a lane each": own,
    "a random lane": any_one,
    "the better of two": better_of_two,
}


def simulated(lanes: int, choice: str, batch: int, *, backlog: int = BACKLOG, claims: int = CLAIMS) -> Error:
    """The rank errors of so many tasks, claimed in batches."""
    chance = random.Random(lanes)  # noqa: S311 -- no secret, and the same at every run
    waiting: list[Lane] = [[] for _ in range(lanes)]
    for _ in range(backlog):
        insort(chance.choice(waiting), chance.random())
    errors: list[int] = []
    turn = 0
    while len(errors) < claims:
        lane = waiting[CHOICES[choice](waiting, turn, chance)]
        turn += 1
        for _ in range(min(batch, len(lane))):
            claimed = lane.pop()
            errors.append(sum(len(one) - bisect_left(one, claimed) for one in waiting))
        for _ in range(backlog - sum(map(len, waiting))):
            insort(chance.choice(waiting), chance.random())
    return Error(statistics.mean(errors), sorted(errors)[int(len(errors) * 0.99)])


def main() -> None:
    """Print a table for docs/performance.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lanes", description=__doc__)
    parser.add_argument("--claims", type=int, default=CLAIMS, help=f"tasks claimed in each setting ({CLAIMS:,})")
    asked = parser.parse_args()
    print(f"| lanes | claims of | {' | '.join(f'{choice}: mean, p99' for choice in CHOICES)} |")
    print("|---|---|" + "---|" * len(CHOICES))
    for batch in (1, 100):
        for lanes in LANES:
            found = [simulated(lanes, choice, batch, claims=asked.claims) for choice in CHOICES]
            print(f"| {lanes} | {batch} | {' | '.join(f'{one.mean:,.1f}, {one.p99:,.0f}' for one in found)} |")


if __name__ == "__main__":
    main()
