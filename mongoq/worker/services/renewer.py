"""Renews the leases that this process holds, and learns which were lost and which tasks should be cancelled.

One update renews all that are due. A find every 1.5 s, only while something has been held that long, brings
cancel requests and lost leases. Handlers may hold the GIL, so a lease is renewed at a third of its length.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from mongoq.core.events import Signpost
from mongoq.core.options import SHORTEST_LEASE
from mongoq.core.signals import Interruption
from mongoq.storage.operations import heartbeat, leases
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.ledger import RENEWALS_PER_LEASE
from mongoq.worker.runtime import Runtime

LOOK_EVERY: Final = 1.5
"""A cancel request is to reach its handler within 2 s."""
BEAT_EVERY: Final = 5.0
"""For people who watch what runs."""
BEAT_EVERY_IDLE: Final = 10.0
"""A worker is shown as silent 25 s after its last beat, and forgotten after a minute: one may be lost unseen."""
LONGEST_PAUSE: Final = SHORTEST_LEASE.total_seconds() / RENEWALS_PER_LEASE
"""Even while nothing is held: what is claimed meanwhile may be due for its renewal that soon."""


class Renewer:
    """The service that renews leases, and sends the heartbeat of a worker that has `facts` to tell.

    `lose` is called for an attempt whose lease is gone.
    """

    def __init__(
        self, runtime: Runtime, *, facts: Callable[[], dict[str, Any]] | None, lose: Callable[[LiveAttempt], None]
    ) -> None:
        self._runtime = runtime
        self._ledger = runtime.ledger
        self._facts = facts
        self._lose = lose
        self._beaten_at = float("-inf")
        self._looked_at = float("-inf")

    def step(self, now: float) -> float:
        """Renew, look and beat as far as each is due."""
        for lease, attempts in self._ledger.due(now).items():
            self._renew([attempt for attempt in attempts if attempt.extended is None], lease)
            self._renew([attempt for attempt in attempts if attempt.extended is not None], lease, bring_back=True)
        now = self._runtime.elapsed()
        if now - self._looked_at >= LOOK_EVERY:
            self._looked_at = now
            self._look([attempt for attempt in self._ledger.all() if now - attempt.claimed_at >= LOOK_EVERY / 2])
        pauses = [LONGEST_PAUSE] if self._facts is None else [LONGEST_PAUSE, self._beat(self._facts, now)]
        renewal = self._ledger.renew_after(self._runtime.elapsed())
        return max(0.01, min(pauses if renewal is None else [*pauses, renewal]))

    def _beat(self, facts: Callable[[], dict[str, Any]], now: float) -> float:
        """Send the heartbeat, if it is time; the seconds until the next one."""
        runtime = self._runtime
        every = BEAT_EVERY if len(self._ledger) else BEAT_EVERY_IDLE
        if now - self._beaten_at >= every:
            runtime.run(heartbeat.beat(runtime.context, runtime.worker, facts()))
            self._beaten_at = now
        return self._beaten_at + every - runtime.elapsed()

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
