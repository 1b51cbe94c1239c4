"""Claims for the free slots, and ahead of them as far as `Prefetch` allows."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from mongoq.clock import elapsed
from mongoq.storage import claiming
from mongoq.telemetry import Signpost
from mongoq.verdict import MOST_SUSPICION
from mongoq.work.attempt import LiveAttempt
from mongoq.work.shared import Shared

BATCH: Final = 500
FIRST_POLL: Final = 0.02
LONGEST_POLL: Final = 1.0


class Claimer:
    """The service that brings work in."""

    def __init__(
        self,
        shared: Shared,
        queues: tuple[str, ...],
        *,
        room: Callable[[], tuple[int, int]],
        receive: Callable[[list[LiveAttempt]], None],
        limit: int | None,
        nothing_left: Callable[[], bool] | None,
    ) -> None:
        self._shared = shared
        self._queues = queues
        self._room = room
        self._receive = receive
        self._left = limit
        self._nothing_left = nothing_left
        self._poll = FIRST_POLL

    def step(self) -> float | None:
        """Claim one batch, if there is room for one that is worth the trip."""
        room, enough = self._room()
        if self._left is not None:
            room = min(room, self._left)
            enough = min(enough, self._left)
        if room < max(1, enough):
            return self._end() if self._left == 0 else None
        sent = elapsed()
        wanted = min(room, BATCH)
        shared = self._shared
        # Taken before the claim: what runs now may stand in the way of what the claim would find.
        alone = not len(shared.book)
        suspicion = MOST_SUSPICION - shared.book.suspicion
        operation = claiming.claim_many(shared.context, self._queues, wanted, shared.worker, suspicion=suspicion)
        claim: claiming.Claim = shared.run(operation)
        if claim.tasks:
            self._take(claim, sent)
        if shared.telemetry:
            shared.telemetry.emit(Signpost.CLAIMED, tasks=claim.tasks, wanted=wanted, lost=claim.lost)
        return self._pause(claim, alone=alone)

    def _take(self, claim: claiming.Claim, sent: float) -> None:
        policy = self._shared.context.options.policy
        attempts = [LiveAttempt(task, policy.over(task.policy), sent) for task in claim.tasks]
        if self._left is not None:
            self._left -= len(attempts)
        self._shared.book.add(attempts)
        self._receive(attempts)

    def _pause(self, claim: claiming.Claim, *, alone: bool) -> float | None:
        if claim.more or claim.tasks:
            self._poll = FIRST_POLL
            # What was lost went to another claimant at the same head: step aside, at random.
            return random.uniform(0, 0.01) if claim.lost else 0  # noqa: S311 -- no secret
        if self._nothing_left is not None:
            return self._end() if alone else FIRST_POLL
        self._poll = min(LONGEST_POLL, self._poll * 2)
        return self._poll * random.uniform(0.75, 1)  # noqa: S311 -- no secret

    def _end(self) -> float | None:
        """Nothing was found, or the limit is reached: ask whether that was all."""
        if self._nothing_left is None or self._nothing_left():
            return None
        return FIRST_POLL
