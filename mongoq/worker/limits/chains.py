"""Tasks that share slots of limits: as many of them run at once as they have slots, those with slots last.

A *chain* are the tasks of one claim that are in the same groups. Some of them have a slot in their hold, and keep it
until they end. The others run before these, so that the slots stay taken until all have run.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Iterable, Sequence

from mongoq.core.clock import elapsed
from mongoq.worker.attempt import LiveAttempt

Kind = tuple[str, ...]
"""What the tasks of a chain have in common: the token of their claim, and the groups that they are in."""


class Chain:
    """The tasks that share slots; every change is made by `Chains`, under its lock."""

    def __init__(self) -> None:
        self.followers: deque[LiveAttempt] = deque()
        """Those without a slot that have not been started."""
        self.holders: deque[LiveAttempt] = deque()
        """Those with a slot that have not been started."""
        self.started: set[LiveAttempt] = set()
        self.closing = False
        """Whether nothing more is started: what has waited for too long is given back."""
        self.short = False
        """Whether a slot was lost before its task was started."""
        self.moved_at = elapsed()
        """When one was started last."""

    @property
    def room(self) -> int:
        """How many more may start: a holder has a slot until it has ended, whether it was started or not."""
        slots = sum(one.open for one in self.holders) + sum(one.open for one in self.started if one.slots)
        return slots - len(self.started)

    def next(self) -> list[LiveAttempt]:
        """Start as many as there is room for."""
        ready: list[LiveAttempt] = []
        while (self.followers or self.holders) and not self.closing and self.room > 0:
            one = (self.followers or self.holders).popleft()
            if one.open:
                self.started.add(one)
                ready.append(one)
        if ready:
            self.moved_at = elapsed()
        return ready

    def replaced(self) -> list[LiveAttempt]:
        """Start a follower in the place of one that has ended: the slots are as they were."""
        while self.followers:
            one = self.followers.popleft()
            if one.open:
                self.started.add(one)
                self.moved_at = elapsed()
                return [one]
        return self.next()

    def spare(self) -> list[LiveAttempt]:
        """Take out those that are not needed any more: a slot stays for each follower that runs."""
        spare: list[LiveAttempt] = []
        held = self.room + len(self.started) > 0
        if self.closing or not held:
            spare += self.followers
            self.followers.clear()
        if not held:
            self.holders.clear()  # they have ended
        needed = sum(not one.slots for one in self.started)
        while self.closing and len(self.holders) > needed:
            spare.append(self.holders.pop())
        return spare


def link(attempts: Sequence[LiveAttempt], kinds: Sequence[Kind | None]) -> None:
    """Make chains of those that have a kind, where some of this kind have no slot of their own."""
    chains: dict[Kind, Chain] = {}
    for attempt, kind in zip(attempts, kinds, strict=True):
        if kind is not None and kind not in chains and not attempt.slots:
            chains[kind] = Chain()
    for attempt, kind in zip(attempts, kinds, strict=True):
        if kind in chains:
            attempt.chain = chain = chains[kind]
            (chain.holders if attempt.slots else chain.followers).append(attempt)


class Chains:
    """All chains of a worker. Used by the threads of handlers and services."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._chains: set[Chain] = set()

    def begin(self, attempts: Sequence[LiveAttempt]) -> tuple[list[LiveAttempt], list[LiveAttempt]]:
        """Those that may start now, and those that have to be given back because their chain has no slot."""
        ready = [attempt for attempt in attempts if attempt.chain is None]
        back: list[LiveAttempt] = []
        with self._lock:
            for chain in dict.fromkeys(attempt.chain for attempt in attempts if attempt.chain is not None):
                ready += chain.next()
                back += chain.spare()
                self._chains.add(chain)
        return ready, back

    def leave(self, attempt: LiveAttempt) -> tuple[list[LiveAttempt], list[LiveAttempt]]:
        """Note that an attempt of a chain has ended; those that may start now, and those to be given back."""
        chain: Chain = attempt.chain
        with self._lock:
            chain.short |= attempt not in chain.started
            chain.started.discard(attempt)
            if chain.followers and not (attempt.slots or chain.short or chain.closing):
                return chain.replaced(), []
            ready, back = chain.next(), chain.spare()
            if not (chain.started or chain.followers or chain.holders):
                self._chains.discard(chain)
        return ready, back

    def close(self, undone: Iterable[LiveAttempt], chains: Collection[Chain] | None = None) -> list[LiveAttempt]:
        """Start nothing more; those that are to be given back, of these that were not started after all and the rest.

        Holders stay for followers that run, and are given back when these have ended.
        """
        back: list[LiveAttempt] = []
        with self._lock:
            for attempt in undone:
                if attempt.chain is None:
                    back.append(attempt)
                else:
                    chain: Chain = attempt.chain
                    chain.started.discard(attempt)
                    (chain.holders if attempt.slots else chain.followers).append(attempt)
            for chain in self._chains if chains is None else chains:
                chain.closing = True
                back += chain.spare()
        return back

    def stalled(self, now: float, longest: float) -> list[LiveAttempt]:
        """Close the chains of which none has started for so long; those that are to be given back."""
        if not self._chains:
            return []
        with self._lock:
            late = [one for one in self._chains if now - one.moved_at > longest and (one.followers or one.holders)]
        return self.close((), late)
