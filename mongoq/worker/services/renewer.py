"""Keeps what this process holds: renews leases, and learns which were lost and which should be cancelled.

One update renews all that are due. A find every 1.5 s, only while something has been held that long, brings
cancel requests and lost leases. Handlers may hold the GIL, so a lease is renewed at a third of its length.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from mongoq.core.clock import elapsed
from mongoq.core.events import Signpost
from mongoq.core.options import SHORTEST_LEASE
from mongoq.core.signals import Interruption
from mongoq.storage.operations import heartbeat, leases
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.runtime import Runtime
from mongoq.worker.services.lease_book import RENEWALS_PER_LEASE

LOOK_EVERY: Final = 1.5
"""A cancel request is to reach its handler within 2 s."""
BEAT_EVERY: Final = 5.0
"""For people who watch what runs."""
BEAT_EVERY_IDLE: Final = 10.0
"""A worker is shown as silent 25 s after its last beat, and forgotten after a minute: one may be lost unseen."""
LONGEST_PAUSE: Final = SHORTEST_LEASE.total_seconds() / RENEWALS_PER_LEASE
"""Even while nothing is held: what is claimed meanwhile may be due for its renewal that soon."""


class Renewer:
    """The service that keeps leases, and sends the heartbeat of a worker that has `facts` to tell."""

    def __init__(
        self, shared: Runtime, *, facts: Callable[[], dict[str, Any]] | None, lose: Callable[[LiveAttempt], None]
    ) -> None:
        self._shared = shared
        self._facts = facts
        self._lose = lose
        self._beaten_at = float("-inf")
        self._looked_at = float("-inf")

    def step(self) -> float:
        """Renew, look and beat as far as each is due."""
        for lease, attempts in self._shared.book.due(elapsed()).items():
            self._renew(attempts, lease)
        now = elapsed()
        if now - self._looked_at >= LOOK_EVERY:
            self._looked_at = now
            self._look([attempt for attempt in self._shared.book.all() if now - attempt.claimed_at >= LOOK_EVERY / 2])
        pauses = [LONGEST_PAUSE] if self._facts is None else [LONGEST_PAUSE, self._beat(self._facts, now)]
        renewal = self._shared.book.next_due(elapsed())
        return max(0.01, min(pauses if renewal is None else [*pauses, renewal]))

    def _beat(self, facts: Callable[[], dict[str, Any]], now: float) -> float:
        """Send the heartbeat, if it is time; the seconds until the next one."""
        every = BEAT_EVERY if len(self._shared.book) else BEAT_EVERY_IDLE
        if now - self._beaten_at >= every:
            self._shared.run(heartbeat.beat(self._shared.context, self._shared.worker, facts()))
            self._beaten_at = now
        return self._beaten_at + every - elapsed()

    def _renew(self, attempts: list[LiveAttempt], lease: float) -> None:
        attempts = [attempt for attempt in attempts if attempt.begin_renewal()]
        if not attempts:
            return
        try:
            sent = elapsed()
            op = leases.renew(self._shared.context, _claims(attempts), timedelta(seconds=lease))
            renewed = self._shared.run(op)
        finally:
            for attempt in attempts:
                attempt.renewing = False
        lost, passed = set(renewed.lost), set(renewed.passed)
        held = [attempt for attempt in attempts if _claim(attempt) not in lost and _claim(attempt) not in passed]
        for attempt in held:
            attempt.lease_until = sent + lease
        if len(held) < len(attempts):
            self._shared.book.rest(set(attempts).difference(held), elapsed())
            self._give_up([attempt for attempt in attempts if _claim(attempt) in lost])
        if self._shared.telemetry:
            tasks = [attempt.task for attempt in held if attempt.open]
            self._shared.telemetry.emit(Signpost.RENEWED, tasks=tasks, until=sent + lease)

    def _look(self, attempts: list[LiveAttempt]) -> None:
        attempts = [attempt for attempt in attempts if attempt.open and not attempt.apart]
        if not attempts:
            return
        held = self._shared.run(leases.look(self._shared.context, _claims(attempts)))
        self._give_up([attempt for attempt in attempts if _claim(attempt) not in held])
        for attempt in attempts:
            known = held.get(_claim(attempt))
            if known is not None and known.cancel and not attempt.apart:
                attempt.interrupt(Interruption.CANCEL)

    def _give_up(self, attempts: list[LiveAttempt]) -> None:
        """Tell those that are not held any more."""
        for attempt in attempts:
            # What has ended is the finisher's, or completes itself: the task may be gone because of that.
            if attempt.open and not attempt.apart:
                self._lose(attempt)


def _claims(attempts: list[LiveAttempt]) -> list[leases.Claimed]:
    return [_claim(attempt) for attempt in attempts]


def _claim(attempt: LiveAttempt) -> leases.Claimed:
    # Both: a task that was lost may be held again by this very process, under another token.
    return attempt.key, attempt.token
