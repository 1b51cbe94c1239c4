"""Claims for the free slots, and ahead of them as far as `Prefetch` allows."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from mongoq.clock import elapsed
from mongoq.errors import StorageUnavailable
from mongoq.storage import claiming
from mongoq.storage.documents import Unread
from mongoq.telemetry import Signpost
from mongoq.verdict import MOST_SUSPICION
from mongoq.work.attempt import LiveAttempt
from mongoq.work.shared import Shared

BATCH: Final = 500
FIRST_POLL: Final = 0.02
LONGEST_POLL: Final = 1.0
RECOVER_EVERY: Final = 1.0
LONGEST_POLL_WATCHED: Final = 5.0
"""Where news comes by itself, polls are only there for what it misses."""


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
        nothing_left: Callable[[bool], bool] | None,
        idle: Callable[[bool], bool],
    ) -> None:
        self._shared = shared
        self._queues = queues
        self._room = room
        self._receive = receive
        self._left = limit
        self._nothing_left = nothing_left
        self._idle = idle
        self._poll = FIRST_POLL
        self._doubts: dict[str, float] = {}
        """Tokens of claims of which no reply came, and when each was sent."""
        self._look_again_at = 0.0

    def step(self) -> float | None:
        """Claim one batch, if there is room for one that is worth the trip."""
        if self._doubts and elapsed() >= self._look_again_at:
            self._recover()
        room, enough = self._room()
        if self._left is not None:
            room = min(room, self._left)
            enough = min(enough, self._left)
        if room < max(1, enough):
            # Whoever makes room wakes the claimer; the pause is there for a wake-up that was missed.
            return self._end() if self._left == 0 else LONGEST_POLL
        sent = elapsed()
        wanted = min(room, BATCH)
        shared = self._shared
        # Taken before the claim: what runs now may stand in the way of what the claim would find.
        alone = not len(shared.book)
        suspicion = MOST_SUSPICION - shared.book.suspicion
        token = claiming.new_token()
        operation = claiming.claim_many(
            shared.context, self._queues, wanted, shared.worker, suspicion=suspicion, token=token
        )
        try:
            claim: claiming.Claim = shared.run(operation)
        except StorageUnavailable:
            self._doubts[token] = sent
            raise
        if claim.doubtful:
            self._doubts[token] = sent
        if claim.unread:
            self._take(claim.unread, sent)
        if shared.telemetry:
            shared.telemetry.emit(Signpost.CLAIMED, tasks=claim.tasks, wanted=wanted, lost=claim.lost)
        return self._pause(claim, alone=alone)

    def _recover(self) -> None:
        """Take what earlier claims got without our hearing of it, before its leases run out.

        A write that was on its way to a frozen server may arrive after this look, so the looks go on for a lease.
        """
        self._look_again_at = elapsed() + RECOVER_EVERY
        known = {(attempt.key, attempt.token) for attempt in self._shared.book.all()}
        found = self._shared.run(claiming.recover(self._shared.context, list(self._doubts)))
        for token, sent in list(self._doubts.items()):
            mine = [claimed for claimed in found if claimed.token == token and (claimed.key, token) not in known]
            if mine:
                self._take(mine, sent)
            if mine or elapsed() - sent > self._shared.context.options.policy.lease.total_seconds():
                del self._doubts[token]

    def _take(self, unread: list[Unread], sent: float) -> None:
        policy = self._shared.context.options.policy
        attempts = [LiveAttempt(claimed, policy.over(claimed.carried), sent) for claimed in unread]
        if self._left is not None:
            self._left -= len(attempts)
        self._shared.book.add(attempts)
        self._receive(attempts)

    def _pause(self, claim: claiming.Claim, *, alone: bool) -> float | None:
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
        if self._nothing_left is None or self._nothing_left(self._left != 0):
            return None
        return FIRST_POLL
