"""How many tasks to hold beyond those that run: enough to keep the handlers busy, too few to hoard."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from mongoq.core.batching import BatchRule
from mongoq.worker.ledger import GATHERED, Ledger

BATCH: Final = 1_000
"""How many tasks one claim takes at most. Handlers that do nothing drained 15,000 tasks/s with 1,000, 14,700 with 700,
14,100 with 500 (medians of four alternating rounds, four batches ahead)."""
HELD_AHEAD: Final = 0.1
"""Seconds of work that may wait in this process."""
MOST_AHEAD: Final = 4_000
"""Room for two claims under way and two at work or being ended."""
MOST_IN_TURN: Final = 1_000
"""Tasks that share a slot of a limit."""
MOST_BYTES: Final = 32 * 2**20
"""Encoded bytes that may wait here. Each claim under way may bring 16 MiB beyond, as much as a reply holds."""
WEIGHT: Final = 0.05
WEIGHED: Final = 8
"""Tasks of a claim that are weighed: to encode one takes 4 µs, and a megabyte."""
FORGETTING: Final = 0.25


class Sized(Protocol):
    """What was claimed."""

    @property
    def size(self) -> int: ...  # noqa: D102


class Prefetch:
    """Follows the measured speed of the handlers, and the size of the tasks.

    No task waits here for longer than 0.1 s at that speed: a process whose slots come free more rarely claims
    for its free slots only, and so does one that has not measured anything yet. `most` lowers, or raises, how many
    may wait at the very most.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = MOST_AHEAD if most is None else most
        self._mean: float | None = None
        self._size = 1.0
        self._took = 0.0

    @property
    def pace(self) -> float:
        """How many seconds a handler runs, on average of late; 0 where nothing was measured."""
        return self._mean or 0.0

    def claimed(self, tasks: Sequence[Sized], took: float) -> None:
        """Note how long a claim took, and weigh some of its tasks, by chance."""
        if not self._most:
            return
        weighed = random.sample(tasks, min(WEIGHED, len(tasks)))
        self._size = _up_at_once(self._size, sum(task.size for task in weighed) / len(weighed))
        self._took = _up_at_once(self._took, took)

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
        return int(min(self._most, workers * HELD_AHEAD / max(self._mean, 1e-6), MOST_BYTES / self._size))

    def enough(self, workers: int) -> int:
        """How many make a claim worth its trip: what is left by then lasts for twice the time that a claim takes.

        At least half of what is wanted, as one claim may take much longer than another.
        """
        wanted = self.wanted(workers)
        left = workers * 2 * self._took / max(self.pace, 1e-6)
        return max(1, wanted // 2, int(wanted - left))


class Room:
    """How many tasks the process has room for. Counted by the ledger, and measured by the prefetch."""

    def __init__(
        self,
        ledger: Ledger,
        prefetch: Prefetch,
        slots: Callable[[], int],
        workers: int,
        lacking: Callable[[], Mapping[BatchRule, int]] = dict,
    ) -> None:
        self._ledger = ledger
        self._prefetch = prefetch
        self._workers = workers
        self._alone = lacking is dict
        """Whether each task is a call of its own."""
        self.slots = slots
        """How many handlers to claim for."""
        self.lacking = lacking
        """How many more tasks each batch takes that is not full yet."""

    def __call__(self) -> tuple[int, int]:
        """How many tasks there is room for, and how many make a claim worth its trip."""
        ahead = self._prefetch.wanted(self._workers)
        # Unwritten endings use up prefetch capacity like waiting tasks, since both are run again after a crash. The
        # first ones are free: they only wait for a batch, and no handler should idle because of them.
        ledger = self._ledger
        taken = ledger.active + max(0, ledger.unwritten - GATHERED) + ledger.asked
        return self.slots() + ahead - taken, min(BATCH, self._prefetch.enough(self._workers))

    @property
    def workers(self) -> int:
        """How many handlers there are."""
        return self._workers

    @property
    def in_turn(self) -> int:
        """How many tasks may wait for one handler, so that they run one after the other."""
        return max(1, min(MOST_IN_TURN, self._prefetch.wanted(self._workers) // self._workers)) if self._alone else 1

    @property
    def worth_a_claim(self) -> bool:
        """Whether a claim is worth its trip."""
        room, enough = self()
        return room >= enough


def _up_at_once(mean: float, value: float) -> float:
    """The mean with one more value: a higher one counts at once, lower ones little by little."""
    return max(value, mean + (value - mean) * FORGETTING)
