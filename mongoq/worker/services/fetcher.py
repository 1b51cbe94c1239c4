"""Keeps the executor supplied: when to claim, how much, how long to wait after that, when a burst is over."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final, Protocol

from mongoq.core.batching import BatchRule
from mongoq.core.events import Signpost
from mongoq.core.requests import ClaimRequest
from mongoq.storage.operations import queries, sweep
from mongoq.storage.operations.claiming.claim import Claim
from mongoq.storage.operations.limits.parking import AHEAD as STARTS_AHEAD
from mongoq.storage.operations.limits.sweeping import sweep_limits
from mongoq.storage.operations.namespace import due
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.config import WorkerConfig
from mongoq.worker.fleet.rotation import Rotation
from mongoq.worker.limits.freed import HEAD, Given, sharing_of
from mongoq.worker.runtime import Runtime
from mongoq.worker.services.claimer import Claimer
from mongoq.worker.services.prefetch import BATCH, Room
from mongoq.worker.services.watcher import FIRST_POLL, LONGEST_POLL, Poll

OTHER_WORKERS_FOR: Final = 10.0
"""Seconds for which the look-ahead claimer rests when a task went to another process: among other workers it is one
more of them (eight processes with look-ahead claimers drained 6,300 tasks/s together; without, 12,500)."""
AHEAD: Final = "look-ahead claimer"


class Lookout(Protocol):
    """What tells of new work; it is told how claims went."""

    poll: Poll

    def idle(self, idle: bool) -> float:
        """Note whether the last claim found nothing; the longest pause until the next one."""

    def more(self) -> None:
        """Note that there is more than one claim took."""


class Receive(Protocol):
    """Takes what a claim brought."""

    def __call__(self, attempts: list[LiveAttempt], *, joining: bool = False) -> None:
        """Take it; `joining`: for batches that are not full yet."""


class Fetcher:
    """The service that brings work in: `step` claims at the head, `look_ahead` the batch behind it.

    One claimer alone spends most of its time waiting for the server. Where the backlog is deep and the handlers are
    fast, a second one claims meanwhile: a process then drained 19,000 tasks/s instead of 13,000.
    """

    def __init__(
        self,
        runtime: Runtime,
        config: WorkerConfig,
        room: Room,
        watcher: Lookout,
        *,
        receive: Receive,
        done: Callable[[], None],
    ) -> None:
        request = ClaimRequest(
            config.queues,
            runtime.worker,
            where=config.where,
            names=config.names,
            due_by=config.due_by,
            ahead=STARTS_AHEAD,
        )
        self._runtime = runtime
        self._ledger = runtime.ledger
        self._config = config
        self._room = room
        self._watcher = watcher
        self._done = done
        self._head = Claimer(runtime, Rotation(runtime, request), receive)
        self._ahead = Claimer(runtime, Rotation(runtime, request), receive, look_ahead=True)
        self._joining: dict[BatchRule, Claimer] = {}
        """Claimers for batches that are not full yet."""
        self._join = request, partial(receive, joining=True)
        self._left = config.limit
        self.burst = config.burst
        """Whether `done` is called when nothing is ready any more and nothing runs; may be set at any time."""
        self._crowded = False
        """Whether the last claim left tasks alone that would take more slots of limits than there are handlers."""
        self._lost_one_at = float("-inf")
        self._rest_until = float("-inf")
        """Until when a claim that gave parked tasks what came free takes no look at the ready ones: there were none."""
        self.hurry = False
        """Whether one task has just come to an idle process: the next claim is a single step."""
        self.deep = False
        """Whether there is more to claim than one claim brings, and no other worker that claims it."""

    def called(self, count: int) -> None:
        """Prepare for a claim to which so many processes were called at once."""
        if count > 1:
            self._head.spread(count)
        self.hurry |= count <= 1

    def step(self, now: float) -> float | None:
        """Claim one batch; the seconds until the next claim."""
        self._look_back(now)
        served = self._serve()
        if self._left == 0:
            return self._end(now)
        if served and now < self._rest_until:
            return self._rest_until - now
        joined = self._fill_batches()
        # Taken before the claim: what runs now may stand in the way of what the claim would find.
        alone = not len(self._ledger) and not self._ledger.asking.get(AHEAD)
        hurry, self.hurry = self.hurry, False
        claim = self._claim(self._head, HEAD, single=hurry and alone)
        if claim is None:
            # A wake-up comes with more room; the pause is there for one that was missed.
            return 0 if joined else FIRST_POLL if self._ledger.asking.get(AHEAD) or self._crowded else LONGEST_POLL
        if self._left is not None:
            self._left -= len(claim.unread)
        self._note(claim)
        return self._pause(claim, now, alone=alone)

    def look_ahead(self, now: float) -> float | None:  # noqa: ARG002 -- as every step
        """Claim one batch behind the head, where the backlog is deep and the handlers are fast."""
        if not self.deep:
            return None
        # Before the look at `deep`, because the end of a burst looks the other way round.
        self._ledger.asking[AHEAD] = BATCH
        try:
            claim = self._claim(self._ahead, AHEAD) if self.deep else None
        finally:
            self._ledger.asking[AHEAD] = 0
        if claim is None:
            return None
        self._note(claim)
        return 0 if claim.unread else None

    def _claim(self, claimer: Claimer, name: str, *, single: bool = False) -> Claim | None:
        """Claim one batch; None where there is no room for one that is worth the trip."""
        asking = self._ledger.asking
        room, enough = self._room()
        room += asking.get(name, 0)
        if self._left is not None:
            room, enough = min(room, self._left), min(enough, self._left)
        if room < max(1, enough) or (name == AHEAD and enough < BATCH):
            return None
        sharing = sharing_of(self._runtime, self._room)
        if self._crowded and sharing.in_turn > 1 and sharing.at_once < 1:
            return None  # what was found waits for slots, of which this process has enough for all its handlers
        sharing = sharing._replace(at_once=max(1, sharing.at_once))
        asking[name] = min(room, BATCH)
        try:
            claim = claimer.claim(asking[name], single=single, sharing=sharing)
        finally:
            asking[name] = 0
        self._crowded = claim.left > 0
        if claim.refusal is not None:
            self._config.stubborn.update(claim.blocked)
        return claim

    def _serve(self) -> bool:
        """Give what came free to parked tasks, or let them go for others where there is no room; whether it could."""
        runtime = self._runtime
        if not runtime.freed:
            return False
        room = self._room()[0] if self._left is None else min(self._room()[0], self._left)
        given = Given(max(0, room), sharing_of(runtime, self._room))
        try:
            done = given.give(runtime, self._head)
        finally:
            runtime.ledger.asking[HEAD] = 0
        if self._left is not None:
            self._left = max(0, self._left - given.claimed)
        return done

    def _fill_batches(self) -> bool:
        """Claim the rest of batches that are not full yet, whatever else is more urgent; whether there was any."""
        found = 0
        for rule, lacking in self._room.lacking().items():
            if rule not in self._joining:
                request, receive = self._join
                rotation = Rotation(self._runtime, replace(request, names=rule.names))
                self._joining[rule] = Claimer(self._runtime, rotation, receive)
            wanted = lacking if self._left is None else min(lacking, self._left)
            if wanted:
                claim = self._joining[rule].claim(wanted)
                found += len(claim.unread)
                if self._left is not None:
                    self._left -= len(claim.unread)
        return found > 0

    def _look_back(self, now: float, *, at_once: bool = False) -> bool:
        """Take what claims got whose replies were lost, those of all claimers; whether there was any."""
        claimers = self._head, self._ahead, *self._joining.values()
        found = sum(claimer.look_back(now, at_once=at_once) for claimer in claimers)
        if self._left is not None:
            self._left = max(0, self._left - found)
        return found > 0

    def _note(self, claim: Claim) -> None:
        """Decide whether to look ahead; where claims are small that would only be in the way of the head's."""
        now = self._runtime.elapsed()
        if claim.lost:
            self._lost_one_at = now
            self._runtime.telemetry.emit(Signpost.CLAIMS_LOST, count=claim.lost)
        if claim.more:
            self._watcher.more()
        deep = claim.more and claim.found >= BATCH
        self.deep = deep and self._left is None and now - self._lost_one_at > OTHER_WORKERS_FOR

    def _pause(self, claim: Claim, now: float, *, alone: bool) -> float | None:
        something = claim.more or bool(claim.unread)
        longest = self._watcher.idle(not something)
        if something:
            self._watcher.poll.reset()
            # What was lost went to another worker at the same head: wait for a random moment, not in step with it.
            return random.uniform(0, 0.01) if claim.lost else 0  # noqa: S311 -- no secret
        self._rest_until = self._runtime.elapsed() + FIRST_POLL
        if self.burst:
            return self._end(now) if alone else FIRST_POLL
        return self._watcher.poll.next(longest)

    def _end(self, now: float) -> float | None:
        """Nothing was found, or the limit is reached: end a burst if that was all."""
        if not self.burst:
            return None
        if self._look_back(now, at_once=True):
            return FIRST_POLL
        # In this order: the ledger holds what the look-ahead claimer has asked for before it asks no more.
        if self._ledger.asked or len(self._ledger) or (self._left != 0 and self._more_to_do()):
            return FIRST_POLL
        self._done()
        return None

    def _more_to_do(self) -> bool:
        run, context, config = self._runtime.run, self._runtime.context, self._config
        moved, _ = run(sweep.sweep(context))
        if context.gate.limits and run(sweep_limits(context)).next is not None:
            return True  # it waits for time to pass
        if config.due_by is not None:  # whatever fell due since then, or was moved for others, is none of its business
            chosen = config.queues, config.where, config.names, config.due_by
            return bool(run(due.left(context, *chosen, but=config.stubborn)))
        # The sweeper, or another process, may have made a task ready since the claim that found nothing.
        return bool(moved or run(queries.ready(context, config.queues, config.where, config.names, config.stubborn)))
