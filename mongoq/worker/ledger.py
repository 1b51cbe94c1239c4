"""The one owner of every attempt in this process, by stage. The only state that the services of a worker share.

Each transition of `stages.TRANSITIONS` is one method, and returns what is worth waking after it. Batches (a claim's
reply, a written group) move under one lock, which is never held across a network call. The start and the end of a
single handler take no lock, because handlers queued up for one: `LiveAttempt.end` decides by a deletion which caller
ends an attempt, and the collections below are changed by single operations that are atomic under the GIL
(`deque.append`, `deque.popleft`, `set.update`, `set.discard`, `dict.pop`).

On free-threaded Python these operations stay atomic, as each takes the collection's own lock, but three habits would
need a lock of ours: `started_at` and the prefetch's mean are written without one, `len` of two collections is added
up while others move between them, and `list(dict)` is taken as a snapshot while single attempts leave.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

from mongoq.core.clock import elapsed
from mongoq.core.judging.verdict import Verdict, poison_weight
from mongoq.worker.attempt import FOREVER, LiveAttempt
from mongoq.worker.executors.waiting import Waiting
from mongoq.worker.services.loop import PAUSE
from mongoq.worker.stages import Completion, Stage, Wake

RENEWALS_PER_LEASE: Final = 3
TRIES_PER_LEASE: Final = 6
"""A renewal that did not reach a task is tried again after such a part of its lease: each try may take a second, for
which all other renewals wait."""
GATHERED: Final = 32
"""So many endings are worth a write."""
HURRIED_PAUSE: Final = 0.05


class _Kept(NamedTuple):
    """A completion that could not be written for a reason of its own, and when it is tried again."""

    completion: Completion
    tries: int
    due: float


class Ledger:
    """Every attempt from its claim until its ending is written or its lease is lost."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[LiveAttempt, float] = {}
        """With the instant before which each is not to be renewed."""
        self._active: set[LiveAttempt] = set()
        self.waiting: Waiting[Any] = Waiting()
        """What the executor has and no handler runs yet."""
        self._ended: deque[Completion] = deque()
        self._writing: list[Completion] = []
        self._kept: dict[LiveAttempt, _Kept] = {}
        self._hurried = False
        self.poison_weight = 0
        """What the suspects among those held weigh together."""
        self.asking: dict[str, int] = {}
        """How many tasks each claimer has asked for and not got yet."""
        self.gathering = False
        """Whether the finisher waits for more endings to write together."""
        self.started_at = 0.0
        """When a handler started last."""
        self.stop_by = FOREVER
        """When the grace of a stopping worker is over."""
        self.draining = False
        """Whether nothing more is taken, while what runs may end."""
        self.progress = threading.Event()
        """Set whenever attempts have left."""

    def __len__(self) -> int:
        return len(self._held)

    @property
    def active(self) -> int:
        """How many wait for a handler or are in one; a lost attempt counts until its handler ends."""
        return len(self._active)

    @property
    def unwritten(self) -> int:
        """How many endings wait to be written."""
        return len(self._ended) + len(self._kept)

    @property
    def fresh(self) -> int:
        """How many of them were not tried yet, or are to be tried before all others."""
        return len(self._ended)

    @property
    def asked(self) -> int:
        """How many tasks are asked for just now."""
        return sum(self.asking.values())

    @property
    def stopping(self) -> bool:
        """Whether the worker stops: nothing starts any more."""
        return self.stop_by != FOREVER

    def all(self) -> list[LiveAttempt]:
        """All that are held."""
        with self._lock:
            return list(self._held)

    # Stages.

    def claim(self, attempts: Iterable[LiveAttempt]) -> None:
        """Note new claims: from here on their leases are renewed."""
        with self._lock:
            for attempt in attempts:
                self._held[attempt] = 0.0
                self.poison_weight += poison_weight(attempt.lost_leases)

    def wait(self, attempts: Collection[LiveAttempt]) -> None:
        """Note that the executor gets these."""
        for attempt in attempts:
            attempt.reach(Stage.WAITING)
        self._active.update(attempts)

    def start(self, attempt: LiveAttempt) -> bool:
        """Note that a handler starts; False where the attempt has ended while it waited."""
        if attempt.reach(Stage.RUNNING):
            attempt.started_at = self.started_at = elapsed()
            return True
        self._active.discard(attempt)
        return False

    def leave_one(self, attempt: LiveAttempt) -> None:
        """Note that a handler has ended."""
        self._active.discard(attempt)

    def leave(self, attempts: Iterable[LiveAttempt]) -> None:
        """Note that no handler has or gets these any more."""
        self._active.difference_update(attempts)

    def end(self, attempt: LiveAttempt, verdict: Verdict) -> Wake | None:
        """Leave an ending to be written; None where the attempt had ended already."""
        if not attempt.end():
            return None
        self._ended.append(Completion(attempt, verdict))
        # While endings gather, nothing but a slot has become free.
        return Wake.ROOM if self._active and self.gathering and len(self._ended) < GATHERED else Wake.ENDINGS

    def take(self, most: int) -> list[Completion]:
        """Take the oldest endings out, to be written. For the finisher, as are the next four."""
        ended = self._ended
        self._writing = [ended.popleft() for _ in range(min(most, len(ended)))]
        return self._writing

    def give_back(self) -> None:
        """Put back what was taken and neither written nor kept: it is written first."""
        kept = self._kept
        left = [one for one in self._writing if one.attempt.stage is Stage.ENDED and one.attempt not in kept]
        self._ended.extendleft(reversed(left))
        self._writing = []

    def keep(self, completion: Completion, now: float) -> bool:
        """Set an ending aside, to be tried again after a pause that grows; whether it was not set aside before."""
        attempt = completion.attempt
        before = self._kept.get(attempt)
        tries = 1 if before is None else before.tries + 1
        self._kept[attempt] = _Kept(completion, tries, now + PAUSE.delay(tries).total_seconds())
        return before is None

    def written(self, completions: Collection[Completion], lost: Collection[LiveAttempt] = ()) -> list[Wake]:
        """Note that these endings were taken, or refused because the lease was lost."""
        wakes: list[Wake] = []
        lost = frozenset(lost)
        with self._lock:
            for attempt, verdict in completions:
                attempt.settle(Stage.LOST if lost and attempt in lost else Stage.WRITTEN)
                if self._kept:
                    self._kept.pop(attempt, None)
                self._forget(attempt)
                if verdict.run_at is not None and not wakes:
                    wakes.append(Wake.SCHEDULED)
        self.progress.set()
        nothing_ready = self._held or all(verdict.makes_nothing_ready for _, verdict in completions)
        return [*wakes, (Wake.ROOM if self._held else Wake.EMPTY) if nothing_ready else Wake.WORK]

    def lose(self, attempt: LiveAttempt) -> bool:
        """Give an attempt up whose lease is gone; False where it had ended already."""
        if not attempt.end(Stage.LOST):
            return False
        self.forget([attempt])
        return True

    def forget(self, attempts: Iterable[LiveAttempt]) -> None:
        """Renew these no more."""
        with self._lock:
            for attempt in attempts:
                self._forget(attempt)
        self.progress.set()

    def _forget(self, attempt: LiveAttempt) -> None:
        if self._held.pop(attempt, None) is not None and attempt.lost_leases:
            self.poison_weight -= poison_weight(attempt.lost_leases)

    # Endings that were set aside.

    def kept_due(self, now: float) -> list[Completion]:
        """Those that are to be tried again; they stay set aside until they are written."""
        return [kept.completion for kept in self._kept.values() if self._hurried or kept.due <= now]

    def write_after(self, now: float) -> float | None:
        """Seconds until there is something to write; None where there is nothing."""
        if self._ended:
            return 0
        if not self._kept:
            return None
        wait = max(0.0, min(kept.due for kept in self._kept.values()) - now)
        return min(HURRIED_PAUSE, wait) if self._hurried else wait

    def hurry(self) -> None:
        """Let those set aside be tried as often as makes sense from now on: there is not much time left."""
        self._hurried = True

    # Renewals.

    def due(self, now: float) -> dict[float, list[LiveAttempt]]:
        """Those whose lease has run for a third of its length, grouped by that length.

        And those with a longer lease than their own, left by a transaction: it would only delay their rescue.
        """
        groups: dict[float, list[LiveAttempt]] = defaultdict(list)
        for attempt in self.all():
            if now >= self._renew_at(attempt, now) and not attempt.in_transaction:
                groups[attempt.lease].append(attempt)
        return groups

    def renew_after(self, now: float) -> float | None:
        """Seconds until the next renewal is due; None where nothing is held."""
        waits = (max(0.0, self._renew_at(one, now) - now) for one in self.all() if not one.in_transaction)
        return min(waits, default=None)

    def rest(self, attempts: Iterable[LiveAttempt], now: float) -> None:
        """Leave these alone for a while: their renewal did not reach them."""
        with self._lock:
            for attempt in attempts:
                if attempt in self._held:
                    self._held[attempt] = now + attempt.lease / TRIES_PER_LEASE

    def _renew_at(self, attempt: LiveAttempt, now: float) -> float:
        due = attempt.lease_until - attempt.lease * (1 - 1 / RENEWALS_PER_LEASE)
        if attempt.lease_until > now + attempt.lease:
            due = now
        return max(due, self._held.get(attempt, due))
