"""Claims for the free slots, and ahead of them as far as `Prefetch` allows; `intake` says when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from mongoq.core.clock import elapsed
from mongoq.core.errors import StorageUnavailable
from mongoq.core.events import Signpost
from mongoq.core.requests import ClaimRequest
from mongoq.core.verdict import MOST_POISON_WEIGHT
from mongoq.storage.operations import claims
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.runtime import Runtime
from mongoq.worker.services.blocked import Blocked
from mongoq.worker.services.contention import Window

BATCH: Final = 1_000
"""Handlers that do nothing drained 15,000 tasks/s with 1,000, 14,700 with 700, 14,100 with 500 (medians of four
alternating rounds, four batches ahead)."""
RECOVER_EVERY: Final = 1.0


class Claimer:
    """Claims one batch at a time, and holds what it got.

    A second one, the *aide*, takes the batch behind the first one's where the backlog is deep and the handlers
    are fast: one alone spends most of its time waiting for the server (a process then drained 13,000 tasks/s, and
    19,000 with an aide). It never touches the head, suspects, or what a limit allows.
    """

    def __init__(
        self,
        shared: Runtime,
        wanted: ClaimRequest,
        *,
        room: Callable[[], tuple[int, int]],
        receive: Callable[[list[LiveAttempt]], None],
        aide: bool = False,
    ) -> None:
        self._shared = shared
        self._wanted = wanted
        self._room = room
        self._receive = receive
        self._aide = aide
        self._doubts: dict[str, float] = {}
        """Tokens of claims of which no reply came, and when each was sent."""
        self._look_again_at = 0.0
        self._window = Window(first=1 if aide else 0)
        self._blocked = Blocked()
        self.asking = 0
        """How many tasks are asked for just now."""

    def claim(self, most: int | None = None, *, single: bool = False) -> claims.Claim | None:
        """Claim one batch of at most so many; None where there is no room for one that is worth the trip.

        `single` takes one task in one round trip instead of two; for a process that holds none.
        """
        room, enough = self._room()
        room += self.asking
        if most is not None:
            room, enough = min(room, most), min(enough, most)
        if room < max(1, enough) or (self._aide and enough < BATCH):
            return None
        self.asking = min(room, BATCH)
        try:
            return self._claim(self.asking, single=single)
        finally:
            self.asking = 0

    def _claim(self, wanted: int, *, single: bool) -> claims.Claim:
        shared = self._shared
        sent = elapsed()
        token = claims.new_token()
        skip = 0 if single else self._window.place(sent) * wanted
        if single:
            operation = claims.claim_first(shared.context, self._wanted, token=token)
        else:
            operation = claims.claim_many(
                shared.context, replace(self._wanted, limit=wanted), token=token,
                poison_budget=0 if self._aide else MOST_POISON_WEIGHT - shared.book.poison_weight,
                skip=skip, at_head=not self._aide, avoid=self._blocked.keys(),
            )  # fmt: skip
        try:
            claim: claims.Claim = shared.run(operation)
        except StorageUnavailable:
            self._doubts[token] = sent
            raise
        if skip and not claim.skipped:
            self._window.too_far()
        else:
            self._window.claimed(len(claim.unread) + claim.lost, claim.lost)
        self._blocked.add(claim.blocked)
        self._take(claim, wanted, sent)
        if claim.doubtful:  # only now, or a look back by another thread would take for new what is taken here
            self._doubts[token] = sent
        return claim

    def look_back(self, *, now: bool = False) -> int:
        """Take what earlier claims got without our hearing of it, before its leases run out; how many tasks.

        Once a second, or `now`. A claim is several writes, each of which may still be at work on a server, or on its
        way to a frozen one: what a look finds need not be all, so the looks go on for a lease. For one thread alone,
        whoever made the claims.
        """
        if not self._doubts or (elapsed() < self._look_again_at and not now):
            return 0
        self._look_again_at = elapsed() + RECOVER_EVERY
        doubts = list(self._doubts.items())
        known = {(attempt.key, attempt.token) for attempt in self._shared.book.all()}
        found = self._shared.run(claims.recover(self._shared.context, [token for token, _ in doubts]))
        count = 0
        for token, sent in doubts:
            mine = [claimed for claimed in found if claimed.token == token and (claimed.key, token) not in known]
            if mine:
                self._take(claims.Claim(mine, more=True, lost=0, doubtful=True), len(mine), sent)
                count += len(mine)
            if elapsed() - sent > self._shared.context.options.policy.lease.total_seconds():
                del self._doubts[token]
        return count

    def _take(self, claim: claims.Claim, wanted: int, sent: float) -> None:
        policy = self._shared.context.options.policy
        attempts = [LiveAttempt(claimed, policy.over(claimed.carried), sent) for claimed in claim.unread]
        # Before the handlers start, so that nobody hears of a start before its claim.
        if self._shared.telemetry:
            told = {"lost": claim.lost, "blocked": len(claim.blocked), "doubtful": claim.doubtful, "sent": sent}
            tasks = [attempt.task for attempt in attempts]
            self._shared.telemetry.emit(Signpost.CLAIMED, tasks=tasks, wanted=wanted, **told)
        if attempts:
            self._shared.book.add(attempts)
            self._receive(attempts)
