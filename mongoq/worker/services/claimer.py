"""Claims one batch, and later finds what claims got whose replies were lost. The fetcher says when, and how many."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from mongoq.core.errors import StorageRefused, StorageUnavailable
from mongoq.core.events import Signpost
from mongoq.core.judging.verdict import MOST_POISON_WEIGHT
from mongoq.core.requests import ClaimRequest
from mongoq.core.tasks.read_only import ReadOnly
from mongoq.limiting.limit import limit_of
from mongoq.storage.commands import Op
from mongoq.storage.documents.limiting import rates
from mongoq.storage.documents.unread import Unread
from mongoq.storage.operations import queries
from mongoq.storage.operations.claiming.claim import Claim, new_token
from mongoq.storage.operations.claiming.first import claim_first
from mongoq.storage.operations.claiming.many import claim_many
from mongoq.storage.operations.claiming.mixture import Mixture
from mongoq.storage.operations.limits import granting
from mongoq.storage.operations.limits.free import Free
from mongoq.storage.operations.limits.room import groups_of_each
from mongoq.storage.operations.limits.serving import serve
from mongoq.storage.operations.recovery import lost_replies, skip_locked
from mongoq.storage.operations.recovery.skip_locked import BlockedKeys
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.fleet.rotation import Rotation
from mongoq.worker.limits.chains import link
from mongoq.worker.limits.freed import ALONE, Sharing
from mongoq.worker.runtime import Runtime
from mongoq.worker.services.contention import Contention
from mongoq.worker.stages import Wake

log = logging.getLogger("mongoq.worker")

RECOVER_EVERY: Final = 1.0
LATE: Final = 0.05
LATE_PART: Final = 0.05
"""A start of a rate limit that is not used within 50 ms, or a twentieth of the limit's stretch, is given back: so no
stretch sees more than a twentieth beyond the rate."""
LONGEST_LEAD: Final = 1.0
TOLD_FOR: Final = 60.0


def bear_parents(runtime: Runtime, attempts: Sequence[LiveAttempt], unread: Sequence[Unread]) -> None:
    """Read the parents of claimed tasks, where some have any."""
    children = {one.key: one.parents for one in unread if one.parents}
    if not children:
        return
    wanted = list(dict.fromkeys(key for parents in children.values() for key in parents))
    found = {task.key: task for task in runtime.run(queries.with_keys(runtime.context, wanted))}
    for attempt in attempts:
        if keys := children.get(attempt.key):
            attempt.parents = ReadOnly({key: found[key] for key in keys if key in found})


class Claimer:
    """Claims batches, and hands over what it got.

    A *look-ahead* claimer takes the batch behind the one at the head. It never touches the head or suspects.
    """

    def __init__(
        self,
        runtime: Runtime,
        rotation: Rotation,
        receive: Callable[[list[LiveAttempt]], None],
        *,
        look_ahead: bool = False,
    ) -> None:
        self._runtime = runtime
        self._rotation = rotation
        self._receive = receive
        self._look_ahead = look_ahead
        self._doubts: dict[str, float] = {}
        """Tokens of claims of which no reply came, and when each was sent."""
        self._look_again_at = 0.0
        self._told: dict[str, float] = {}
        """Why claims were refused, and when that was told."""
        self._contention = Contention(first=1 if look_ahead else 0)
        self._blocked = BlockedKeys()
        self._lacking: set[str] = set()
        """The keys of secrets of which the log tells already."""
        self._lead = 0.0
        """Seconds that a claim takes, of late."""
        self._look_at = 0
        """How many tasks to look at, where the last ones found were parked."""
        self._mixture = Mixture(rotation.names) if rotation.names else None

    @property
    def whole(self) -> ClaimRequest:
        """All that the worker may claim."""
        return self._rotation.whole

    def claim(self, wanted: int, *, single: bool = False, sharing: Sharing = ALONE) -> Claim:
        """Claim at most so many; `single` takes one task in one round trip instead of two."""
        runtime = self._runtime
        self._look_at_blocked(runtime.elapsed())
        request = self._rotation.request(fresh=single)
        if request is None:
            return Claim([], more=False, lost=0)
        sent = runtime.elapsed()
        token = new_token()
        skip = 0 if single else self._contention.place(sent) * wanted
        if single:
            operation = claim_first(runtime.context, request, token=token)
        else:
            operation = claim_many(
                runtime.context, self._limited(request, wanted, sharing), token=token,
                poison_budget=0 if self._look_ahead else MOST_POISON_WEIGHT - runtime.ledger.poison_weight,
                skip=skip, at_head=not self._look_ahead, skip_keys=self._blocked.keys(sent),
                mixture=self._mixture, look_at=self._look_at,
            )  # fmt: skip
        claim = self._rotation.note(request, self._sent(operation, token, sent))
        self._look_at = granting.further(self._look_at, wanted, claim)
        if claim.parked and self._lead:  # there may be a start before the next look at limits
            runtime.wake(Wake.SCHEDULED)
        if skip and not (claim.skipped and claim.found >= wanted):
            self._contention.too_far()
        else:
            self._contention.claimed(len(claim.unread) + claim.lost, claim.lost)
        self._blocked.add(claim.blocked, runtime.elapsed())
        if claim.refusal is not None:
            self._tell(claim.refusal, sent)
        for key in runtime.context.lacking - self._lacking:
            self._lacking.add(key)
            log.warning("tasks have secrets of the key %r, which this process lacks: it runs none of them", key)
        self._take(claim, wanted, sent)
        if claim.doubtful:  # only now: a look back by another thread would take for new what is taken here
            self._doubts[token] = sent
        return claim

    def _limited(self, request: ClaimRequest, wanted: int, sharing: Sharing) -> ClaimRequest:
        lead = min(LONGEST_LEAD, self._lead)
        own = sharing._asdict()
        return replace(request, limit=wanted, lead=lead, **own)

    def serve(self, free: Free, wanted: int, sharing: Sharing) -> Claim:
        """Claim up to so many parked tasks, as many as there is room for in this."""
        runtime, sent, token = self._runtime, self._runtime.elapsed(), new_token()
        request = self._limited(self._rotation.whole, wanted, sharing)
        operation = serve(runtime.context, request, free, token=token, skip_keys=self._blocked.keys(sent))
        claim = self._sent(operation, token, sent)
        self._blocked.add(claim.blocked, runtime.elapsed())
        self._take(claim, wanted, sent)
        if claim.doubtful:
            self._doubts[token] = sent
        return claim

    def _sent(self, operation: Op[Claim], token: str, sent: float) -> Claim:
        """Make a claim, and note how long it took."""
        runtime = self._runtime
        try:
            claim: Claim = runtime.run(operation)
        except StorageUnavailable:
            self._doubts[token] = sent
            raise
        if any(limit.rate for limit in runtime.context.gate.limits.values()):
            took = runtime.elapsed() - sent
            self._lead = max(took, self._lead + (took - self._lead) / 4)
        return claim

    def _tell(self, refusal: StorageRefused, now: float) -> None:
        """One line for each task that takes no write, and again after `TOLD_FOR`."""
        self._told = {text: at for text, at in self._told.items() if now - at < TOLD_FOR}
        if self._told.setdefault(str(refusal), now) == now:
            log.warning("cannot be claimed: %s", refusal)

    def spread(self, count: int) -> None:
        """Make the next claim somewhere in the first `count` batches: as many processes claim at this moment."""
        self._contention.spread(count, self._runtime.elapsed())

    def look_back(self, now: float, *, at_once: bool = False) -> int:
        """Take what earlier claims got whose replies were lost, before its leases run out; how many tasks.

        Once a second, or `at_once`. A claim is several writes, each of which may still be at work on a server, or on
        its way to a frozen one. One look need not find all of them, so the looks go on for the length of a lease.
        For one thread only, whichever thread made the claims.
        """
        if not self._doubts or (now < self._look_again_at and not at_once):
            return 0
        self._look_again_at = now + RECOVER_EVERY
        doubts = list(self._doubts.items())
        known = {(attempt.key, attempt.token) for attempt in self._runtime.ledger.all()}
        found = self._runtime.run(lost_replies.recover(self._runtime.context, [token for token, _ in doubts]))
        lease = self._runtime.context.options.policy.lease.total_seconds()
        count = 0
        for token, sent in doubts:
            mine = [claimed for claimed in found if claimed.token == token and (claimed.key, token) not in known]
            if mine:
                self._take(Claim(mine, more=True, lost=0, doubtful=True), len(mine), sent)
                count += len(mine)
            if now - sent > lease:
                del self._doubts[token]
        return count

    def _time(self, attempts: Sequence[LiveAttempt]) -> None:
        """Note when attempts under rate limits may start, and how long this claim took of that."""
        runtime = self._runtime
        now, present = runtime.elapsed(), rates.nanoseconds(runtime.context.clock.earliest())
        limits = runtime.context.gate.limits
        for attempt in attempts:
            for one in attempt.claimed.starts:
                attempt.not_before = max(attempt.not_before, now + (one["at"] - present) / 1e9)
                limit = limits.get(limit_of(one["group"]))
                late = LATE if limit is None else max(LATE, limit.per.total_seconds() * LATE_PART)
                attempt.not_after = min(attempt.not_after, attempt.not_before + late)

    def _look_at_blocked(self, now: float) -> None:
        """Free the tasks that no transaction holds any more: those behind them are less urgent."""
        if keys := self._blocked.again(now):
            runtime = self._runtime
            held = frozenset(runtime.run(skip_locked.still_held(runtime.context.tasks, keys)))
            self._blocked.free(key for key in keys if key not in held)

    def _take(self, claim: Claim, wanted: int, sent: float) -> None:
        runtime, options = self._runtime, self._runtime.context.options
        # Equal policies are one object, see `policy_from`: merged once for a batch, not by every task.
        policies = {id(claimed.carried): claimed.carried for claimed in claim.unread}
        merged = {number: options.policy.over(carried) for number, carried in policies.items()}
        attempts = [LiveAttempt(claimed, merged[id(claimed.carried)], sent) for claimed in claim.unread]
        if any(attempt.claimed.starts for attempt in attempts):
            self._time(attempts)
        if any(one.shares for one in claim.unread):
            groups = groups_of_each(runtime.context, [one.document for one in claim.unread])
            link(attempts, [
                (one.token or "", *own) if one.shares or one.slots else None
                for one, own in zip(claim.unread, groups, strict=True)
            ])  # fmt: skip
        if options.local:
            for attempt, claimed in zip(attempts, claim.unread, strict=True):
                attempt.policy = attempt.policy.over(options.local.get(claimed.name or "", {}))
        bear_parents(runtime, attempts, claim.unread)
        if claim.doubtful:  # a write that shortens a lease may still be on its way
            for attempt in attempts:
                attempt.extended = self
        # Before the handlers start, so that no listener hears of a start before its claim.
        if runtime.telemetry:
            told = {"lost": claim.lost, "blocked": len(claim.blocked), "doubtful": claim.doubtful, "sent": sent}
            tasks = [attempt.task for attempt in attempts]
            runtime.telemetry.emit(Signpost.CLAIMED, tasks=tasks, wanted=wanted, **told)
        if attempts:
            runtime.ledger.claim(attempts)
            self._receive(attempts)
