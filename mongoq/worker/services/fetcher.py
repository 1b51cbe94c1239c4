"""Keeps the executor supplied: when to claim, how long to wait after finding nothing, when a burst is over."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from mongoq.core.clock import elapsed
from mongoq.storage.operations.claims import Claim
from mongoq.worker.services.claimer import BATCH, Claimer

FIRST_POLL: Final = 0.02
LONGEST_POLL: Final = 1.0
LONGEST_POLL_WATCHED: Final = 5.0
"""Where news comes by itself, polls are only there for what it misses: this is the most that a missed piece costs."""
RIVALS_FOR: Final = 10.0
"""Seconds for which the aide rests when a task went to another process: with rivals it is one more of them (eight
processes with aides drained 6,300 tasks/s together; without, 12,500)."""


class Intake:
    """The service that brings work in; `step` is the claimer's, `help` the aide's."""

    def __init__(
        self,
        claimer: Claimer,
        aide: Claimer,
        *,
        held: Callable[[], int],
        limit: int | None,
        nothing_left: Callable[[bool], bool] | None,
        idle: Callable[[bool], bool],
    ) -> None:
        self._claimer = claimer
        self._aide = aide
        self._held = held
        self._left = limit
        self._nothing_left = nothing_left
        self._idle = idle
        self._poll = FIRST_POLL
        self._rivals_at = float("-inf")
        self.hurry = False
        """Whether one task has just come to an idle process: the next claim is a single step."""
        self.deep = False
        """Whether there is more to claim than one claim brings, and nobody else who does."""

    @property
    def asking(self) -> int:
        """How many tasks are asked for just now."""
        return self._claimer.asking + self._aide.asking

    def step(self) -> float | None:
        """Claim one batch; the seconds until the next claim."""
        self._look_back()
        if self._left == 0:
            return self._end()
        # Taken before the claim: what runs now may stand in the way of what the claim would find.
        alone = not self._held()
        hurry, self.hurry = self.hurry, False
        claim = self._claimer.claim(self._left, single=hurry and alone)
        if claim is None:
            # Whoever makes room wakes the claimer; the pause is there for a wake-up that was missed.
            return FIRST_POLL if self._aide.asking else LONGEST_POLL
        if self._left is not None:
            self._left -= len(claim.unread)
        self._note(claim)
        return self._pause(claim, alone=alone)

    def help(self) -> float | None:
        """Claim one batch behind that of the claimer, where the backlog is deep and the handlers are fast."""
        if not self.deep:
            return None
        self._aide.asking = BATCH  # before the look at `deep`, as the end of a burst looks the other way round
        try:
            claim = self._aide.claim() if self.deep else None
        finally:
            self._aide.asking = 0
        if claim is None:
            return None
        self._note(claim)
        return 0 if claim.unread else None

    def _look_back(self, *, now: bool = False) -> bool:
        """Take what claims got whose replies were lost, the aide's too; whether there was any."""
        found = self._claimer.look_back(now=now) + self._aide.look_back(now=now)
        if self._left is not None:
            self._left = max(0, self._left - found)
        return found > 0

    def _note(self, claim: Claim) -> None:
        """Judge whether the aide may help; where claims are small it would only be in the claimer's way."""
        if claim.lost:
            self._rivals_at = elapsed()
        deep = claim.more and claim.found >= BATCH
        self.deep = deep and self._left is None and elapsed() - self._rivals_at > RIVALS_FOR

    def _pause(self, claim: Claim, *, alone: bool) -> float | None:
        watched = self._idle(not (claim.more or claim.unread))
        if claim.more or claim.unread:
            self._poll = FIRST_POLL
            # What was lost went to another claimant at the same head: step aside, at random.
            return random.uniform(0, 0.01) if claim.lost else 0  # noqa: S311 -- no secret
        if self._nothing_left is not None:
            return self._end() if alone else FIRST_POLL
        self._poll = min(LONGEST_POLL_WATCHED if watched else LONGEST_POLL, self._poll * 2)
        return self._poll * random.uniform(0.9, 1.1)  # noqa: S311 -- no secret

    def _end(self) -> float | None:
        """Nothing was found, or the limit is reached: ask whether that was all."""
        if self._nothing_left is not None and self._look_back(now=True):
            return FIRST_POLL
        if self._nothing_left is None or self._nothing_left(self._left != 0):
            return None
        return FIRST_POLL
