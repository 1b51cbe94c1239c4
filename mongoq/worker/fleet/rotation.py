"""Which queues a claim asks for, where a worker serves more than one claim can name.

A look at the heads of all queues says which have work. The claim names those with the most urgent heads, and takes no
task that is less urgent than the best head left out: priorities stay strict across all of them, as of that look. Among
equal priorities the oldest head comes first, so that queues take turns. A look costs the server as many seeks as there
are queues with work, so it is repeated as often as takes a twentieth of the time: before each claim where a few of
10,000 queues have work (0.5 ms), every 0.2 s where 1,000 have.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from mongoq.core.requests import MOST_CLAIMED, ClaimRequest
from mongoq.storage.operations.claiming.claim import Claim
from mongoq.storage.operations.namespace.heads import Head, heads
from mongoq.worker.runtime import Runtime

SHARE: Final = 20
"""A look may take one part in so many of the time."""
RACED: Final = 0.05
"""Seconds for which queues are left out whose tasks others have taken since the look."""
REST: Final = 1.0
"""Seconds for which queues are left out in whose ready tasks the worker found none that it takes."""


class Rotation:
    """Makes the requests of one claimer; where the worker has few queues, it asks for all of them each time."""

    def __init__(self, runtime: Runtime, request: ClaimRequest) -> None:
        self._runtime = runtime
        self._request = request
        self._queues = frozenset(request.queues)
        self._many = len(request.queues) > MOST_CLAIMED
        self._picky = bool(request.names or request.where or request.due_by)
        """Whether it may leave ready tasks alone."""
        self._chosen: ClaimRequest | None = None
        self._look_at = 0.0
        self._resting: dict[str, float] = {}
        self._fresh = False
        """Whether the last request was made from what was just seen."""
        self._whole = False
        """Whether it named all queues that had work."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of tasks that are asked for."""
        return self._request.names

    @property
    def whole(self) -> ClaimRequest:
        """All that the worker may claim."""
        return self._request

    def request(self, *, fresh: bool = False) -> ClaimRequest | None:
        """What to ask for now; None where nothing is ready. `fresh` looks again in any case."""
        if not self._many:
            return self._request
        now = self._runtime.elapsed()
        self._fresh = fresh or self._chosen is None or now >= self._look_at
        if self._fresh:
            self._choose(now)
        return self._chosen

    def note(self, asked: ClaimRequest, claim: Claim) -> Claim:
        """Note what came of a request; the claim says that there is more where other queues may have it."""
        if not self._many or claim.more:
            return claim
        self._look_at = 0.0  # these are empty by now: choose others
        if self._fresh and not claim.found and not claim.unread:
            rest = REST if self._picky else RACED
            self._resting.update(dict.fromkeys(asked.queues, self._runtime.elapsed() + rest))
        return claim if self._fresh and self._whole else claim._replace(more=True)

    def _choose(self, now: float) -> None:
        """Look at the heads, and choose the queues of the most urgent ones."""
        context, request, queues = self._runtime.context, self._request, self._queues
        if context.gate.pauses:
            free = context.gate.admit(request.queues, request.names, context.clock.now())
            queues = frozenset() if free is None else frozenset(free.queues)
            self._picky = self._picky or bool(free and free.without)
        found = self._runtime.run(heads(context, queues)) if queues else []
        after = self._runtime.elapsed()
        self._look_at = after + (after - now) * SHARE
        self._resting = {queue: until for queue, until in self._resting.items() if until > after}
        found = [head for head in found if head.queue not in self._resting]
        self._whole = len(found) <= MOST_CLAIMED
        self._chosen = chosen(request, found, picky=self._picky)


def chosen(request: ClaimRequest, found: list[Head], *, picky: bool) -> ClaimRequest | None:
    """The request for the queues of these heads, which are in the order of their urgency."""
    if not found:
        return None
    left = found[MOST_CLAIMED:]
    # Where it leaves tasks alone those heads say nothing of the tasks that it takes.
    strict = left and math.isfinite(left[0].priority) and not picky
    least = math.floor(left[0].priority) if strict else None
    return replace(request, queues=tuple(head.queue for head in found[:MOST_CLAIMED]), least=least)
