"""Parents, batches and limits in a chaos run: how producers make them, and what the limits are."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from mongoq import BatchNotFound, DuplicateTask, NewTask, Queue, StorageUnavailable
from mongoq.core.validation import UNSET

TENANTS: Final = ("a", "b", "c")
SLOTS: Final = {"tenant": 3}
"""So many tasks of one tenant run at once."""
RATES: Final = {"calls": (20.0, 5)}
"""How many start in a second, and how many together after a pause."""
LIMITED: Final = 0.15
"""How many tasks are under a limit."""
CHOICES: Final = [("tenant",), ("tenant",), ("calls",), ("tenant", "calls")]
CHILD: Final[dict[str, Any]] = {"kind": "quick", "times": 1}
MOST_OPEN: Final = 1_000


def set_limits(queue: Queue) -> None:
    """Set the limits of the run."""
    for name, most in SLOTS.items():
        queue.limit(name, concurrency=most, by="tenant")
    for name, (rate, burst) in RATES.items():
        queue.limit(name, rate=rate, per=1, burst=burst)


def limits(chance: random.Random) -> tuple[dict[str, str], tuple[str, ...]]:
    """The tags and the limits of a task; most have none."""
    if chance.random() > LIMITED:
        return {}, ()
    return {"tenant": chance.choice(TENANTS)}, chance.choice(CHOICES)


def close_all(queue: Queue) -> None:
    """Close the batches whose producers could not, as an operator would do."""
    for batch in queue.batches(MOST_OPEN):
        if batch.open:
            queue.close_batch(batch.key)


class Related:
    """Makes tasks that wait for others."""

    def __init__(self, queue: Queue, chance: random.Random, send: Callable[[Sequence[NewTask]], int]) -> None:
        self._queue = queue
        self._chance = chance
        self._send = send

    def graph(self, key: str, parents: Sequence[NewTask]) -> int:
        """Enqueue parents and a child that waits for all of them; how many tasks that made."""
        parents = [_kept(task, f"{key}-parent-{number}") for number, task in enumerate(parents)]
        after, otherwise = [str(task.key) for task in parents], self._chance.choice(["cancel", "run"])
        child = NewTask(CHILD, key=key, after=after, on_parent_failure=otherwise, on_conflict="skip")
        return self._send([*parents, child])

    def batch(self, key: str, members: Sequence[NewTask], over: threading.Event, opened: Callable[[], None]) -> int:
        """Enqueue the members of a batch of this key, and close it as soon as that is possible."""
        made = 0
        try:
            with self._queue.batch(then=NewTask(CHILD), key=key):
                opened()
                for number, task in enumerate(members):
                    made += self._send([replace(_kept(task, f"{key}-{number}"), batch=key)])
        except DuplicateTask:  # the driver had sent it already: it is open, and stays so until the end
            return made
        except StorageUnavailable:
            self._close(key, over)
        return made

    def _close(self, key: str, over: threading.Event) -> None:
        while not over.wait(0.2):
            with suppress(StorageUnavailable):
                with suppress(BatchNotFound):
                    self._queue.close_batch(key)
                return


def _kept(task: NewTask, key: str) -> NewTask:
    return replace(task, key=key, keep_completed=UNSET)
