"""Which faults happen in a chaos run, and when: endless sequences made from a seed, nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final, NamedTuple

WORKERS: Final = {"kill": 4, "freeze": 4, "terminate": 2}
"""Faults of workers, and how often each comes."""
SERVERS: Final = {
    "step down": 3,
    "kill primary": 3,
    "freeze primary": 2,
    "cut primary": 2,  # from the others and from the clients
    "isolate primary": 3,  # from the others alone: clients go on writing to one that is primary no more
    "kill secondary": 2,
}
LASTING: Final = {
    "freeze": (2.5, 5.0),  # beyond the lease of 2 s, and beyond the second that a rescue waits as well
    "kill primary": (1.0, 4.0),
    "freeze primary": (2.0, 6.0),
    "cut primary": (3.0, 7.0),
    "isolate primary": (3.0, 7.0),
    "kill secondary": (1.0, 4.0),
}
"""From how long to how long each lasts, in seconds; the others are over at once."""


class Fault(NamedTuple):
    """One fault, after a pause."""

    pause: float
    kind: str
    seconds: float
    target: int
    """Which worker."""


def faults(seed: int, kinds: dict[str, int], pause: tuple[float, float], targets: int = 1) -> Iterator[Fault]:
    """One after the other, for ever; the same for the same seed."""
    dice = random.Random(f"{seed}/{sorted(kinds)}")  # noqa: S311 -- no secret
    while True:
        (kind,) = dice.choices(list(kinds), list(kinds.values()))
        lasting = dice.uniform(*LASTING.get(kind, (0.0, 0.0)))
        yield Fault(dice.uniform(*pause), kind, lasting, dice.randrange(targets))
