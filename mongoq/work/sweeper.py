"""Runs the sweeps, each when its next work is due, and at the latest after its own interval."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from typing import Final

from mongoq.clock import elapsed
from mongoq.storage import upkeep
from mongoq.storage.commands import Op
from mongoq.storage.context import Context
from mongoq.telemetry import Signpost
from mongoq.work.blocked import Blocked
from mongoq.work.shared import Shared

Sweep = Callable[[Context, Collection[str]], Op[upkeep.Swept]]

SWEEPS: Final[dict[str, Sweep]] = {"promoted": upkeep.promote, "rescued": upkeep.rescue, "expired": upkeep.expire}

PROMOTE_EVERY: Final = 1.0
"""What another process schedules for sooner than all that was seen is late by this at most."""
PROMOTE_EVERY_WATCHED: Final = 10.0
"""Where news of scheduled tasks comes by itself; what is due at a known time has a timer of its own."""
RESCUE_EVERY: Final = 10.0
"""At most; no later than a lease, or a task claimed just after a look would be rescued late. Only one whose own lease
is shorter than this and the queue's may be."""
EXPIRE_EVERY: Final = 30.0
"""A claim passes over what has expired: this one only keeps the counts honest."""


class Sweeper:
    """The service that sweeps."""

    def __init__(self, shared: Shared, *, found_work: Callable[[], None], watched: Callable[[], bool]) -> None:
        self._shared = shared
        self._found_work = found_work
        self._watched = watched
        self._next = dict.fromkeys(SWEEPS, 0.0)
        self._woken = False
        self._blocked = Blocked()

    def look_ahead(self) -> None:
        """Look for scheduled tasks at the next step: one has just been written."""
        self._woken = True

    def step(self) -> float:
        """Run the sweeps that are due; the seconds until the next one is."""
        if self._woken:
            self._woken = False
            self._next["promoted"] = 0.0
        counts = {name: self._sweep(name) for name, due in self._next.items() if elapsed() >= due}
        if counts.get("promoted") or counts.get("rescued"):
            self._found_work()
        if any(counts.values()) and self._shared.telemetry:
            self._shared.telemetry.emit(Signpost.SWEPT, **{name: counts.get(name, 0) for name in SWEEPS})
        return max(0.0, min(self._next.values()) - elapsed())

    def _sweep(self, name: str) -> int:
        swept: upkeep.Swept = self._shared.run(SWEEPS[name](self._shared.context, self._blocked.keys()))
        self._blocked.add(swept.blocked)
        # The jitter keeps a fleet from sweeping in step; what is due at a known time is not late by it.
        pause = self._longest(name) * random.uniform(0.75, 1.0)  # noqa: S311 -- no secret
        if swept.next is not None:
            pause = min(pause, max(0.0, swept.next.total_seconds()))
        self._next[name] = elapsed() + pause
        return swept.moved

    def _longest(self, name: str) -> float:
        if name == "promoted":
            return PROMOTE_EVERY_WATCHED if self._watched() else PROMOTE_EVERY
        if name == "rescued":
            return min(RESCUE_EVERY, self._shared.context.options.policy.lease.total_seconds())
        return EXPIRE_EVERY
