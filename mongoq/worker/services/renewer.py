"""Renews the leases that this process holds, and learns which were lost and which tasks should be cancelled.

One update renews all that are due. A find every 1.5 s, only while something has been held that long, brings
cancel requests and lost leases. Handlers may hold the GIL, so a lease is renewed at a third of its length.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from mongoq.core.events import Signpost
from mongoq.core.judging.policy import SHORTEST_LEASE
from mongoq.core.signals import Interruption
from mongoq.storage.operations import leases
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.ledger import RENEWALS_PER_LEASE
from mongoq.worker.runtime import Runtime

LOOK_EVERY: Final = 1.5
"""A cancel request is to reach its handler within 2 s."""
LONGEST_PAUSE: Final = SHORTEST_LEASE.total_seconds() / RENEWALS_PER_LEASE
"""Even while nothing is held: what is claimed meanwhile may be due for its renewal that soon."""


class Renewer:
    """The service that renews leases. `lose` is called for an attempt whose lease is gone."""

    def __init__(self, runtime: Runtime, *, lose: Callable[[LiveAttempt], None]) -> None:
        self._runtime = runtime
        self._ledger = runtime.ledger
        self._lose = lose
        self._looked_at = float("-inf")

    def step(self, now: float) -> float:
        """Renew and look as far as each is due."""
        for lease, attempts in self._ledger.due(now).items():
            self._renew([attempt for attempt in attempts if attempt.extended is None], lease)
            self._renew([attempt for attempt in attempts if attempt.extended is not None], lease, bring_back=True)
        now = self._runtime.elapsed()
        if now - self._looked_at >= LOOK_EVERY:
            self._looked_at = now
            self._look([attempt for attempt in self._ledger.all() if now - attempt.claimed_at >= LOOK_EVERY / 2])
        renewal = self._ledger.renew_after(self._runtime.elapsed())
        return max(0.01, LONGEST_PAUSE if renewal is None else min(LONGEST_PAUSE, renewal))

    def _renew(self, attempts: list[LiveAttempt], lease: float, *, bring_back: bool = False) -> None:
        # Other renewals came before this one, and may have taken seconds.
        attempts = [attempt for attempt in attempts if not attempt.in_transaction]
        if not attempts:
            return
        runtime = self._runtime
        sent = runtime.elapsed()
        extended = [attempt.extended for attempt in attempts]
        renewing = leases.renew(runtime.context, _claims(attempts), timedelta(seconds=lease), bring_back=bring_back)
        renewed = runtime.run(renewing)
        lost, passed = set(renewed.lost), set(renewed.skipped)
        held = [attempt for attempt in attempts if _claim(attempt) not in lost and _claim(attempt) not in passed]
        before = dict(zip(attempts, extended, strict=True))
        for attempt in held:
            if (
                not attempt.in_transaction and attempt.extended is before[attempt]
            ):  # else it has just extended its lease
                attempt.lease_until = sent + lease
                attempt.extended = None
        if len(held) < len(attempts):
            self._ledger.rest(set(attempts).difference(held), runtime.elapsed())
            self._give_up([attempt for attempt in attempts if _claim(attempt) in lost])
        if runtime.telemetry:
            tasks = [attempt.task for attempt in held if attempt.open]
            runtime.telemetry.emit(Signpost.RENEWED, tasks=tasks, until=sent + lease)

    def _look(self, attempts: list[LiveAttempt]) -> None:
        attempts = [attempt for attempt in attempts if attempt.open and not attempt.in_transaction]
        if not attempts:
            return
        held = self._runtime.run(leases.look(self._runtime.context, _claims(attempts)))
        self._give_up([attempt for attempt in attempts if _claim(attempt) not in held])
        for attempt in attempts:
            known = held.get(_claim(attempt))
            if known is not None and known.cancel and not attempt.in_transaction:
                attempt.interrupt(Interruption.CANCEL)

    def _give_up(self, attempts: list[LiveAttempt]) -> None:
        """Tell those that are not held any more."""
        for attempt in attempts:
            # An attempt that has ended is the finisher's, or completes itself: its task may be gone because of that.
            if attempt.open and not attempt.in_transaction:
                self._lose(attempt)


def _claims(attempts: list[LiveAttempt]) -> list[leases.Claimed]:
    return [_claim(attempt) for attempt in attempts]


def _claim(attempt: LiveAttempt) -> leases.Claimed:
    # Both: a task that was lost may be held again by this very process, under another token.
    return attempt.key, attempt.token
