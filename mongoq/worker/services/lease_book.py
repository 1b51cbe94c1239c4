"""Which leases this process holds, and which of them are due for renewal. No I/O; the keeper does that."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from mongoq.core.verdict import poison_weight
from mongoq.worker.attempt import LiveAttempt

RENEWALS_PER_LEASE: Final = 3
TRIES_PER_LEASE: Final = 6
"""What a renewal did not reach is tried again after such a part of its lease: each try may take a second, for which
all other renewals wait."""


class LeaseBook:
    """Every attempt from its claim until its ending is written."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[LiveAttempt, float] = {}
        """With the instant before which each is not to be renewed."""
        self.poison_weight = 0
        """Their poison weight together."""

    def __len__(self) -> int:
        return len(self._held)

    def add(self, attempts: Iterable[LiveAttempt]) -> None:
        """Note new claims."""
        with self._lock:
            for attempt in attempts:
                self._held[attempt] = 0.0
                self.poison_weight += poison_weight(attempt.lost_leases)

    def remove(self, attempts: Iterable[LiveAttempt]) -> None:
        """Forget attempts that are written, or lost."""
        with self._lock:
            for attempt in attempts:
                if attempt in self._held:
                    del self._held[attempt]
                    self.poison_weight -= poison_weight(attempt.lost_leases)

    def rest(self, attempts: Iterable[LiveAttempt], now: float) -> None:
        """Leave these alone for a while: their renewal did not reach them."""
        with self._lock:
            for attempt in attempts:
                if attempt in self._held:
                    self._held[attempt] = now + attempt.lease / TRIES_PER_LEASE

    def all(self) -> list[LiveAttempt]:
        """All that are held."""
        with self._lock:
            return list(self._held)

    def due(self, now: float) -> dict[float, list[LiveAttempt]]:
        """Those whose lease has run for a third of its length, grouped by that length.

        And those with a longer lease than their own, left by a transaction: it would only delay their rescue.
        """
        groups: dict[float, list[LiveAttempt]] = defaultdict(list)
        for attempt in self.all():
            if now >= self._renew_at(attempt, now) and not attempt.apart:
                groups[attempt.lease].append(attempt)
        return groups

    def next_due(self, now: float) -> float | None:
        """Seconds until the next renewal is due; None where nothing is held."""
        waits = (max(0.0, self._renew_at(attempt, now) - now) for attempt in self.all() if not attempt.apart)
        return min(waits, default=None)

    def _renew_at(self, attempt: LiveAttempt, now: float) -> float:
        due = attempt.lease_until - attempt.lease * (1 - 1 / RENEWALS_PER_LEASE)
        if attempt.lease_until > now + attempt.lease:
            due = now
        return max(due, self._held.get(attempt, due))
