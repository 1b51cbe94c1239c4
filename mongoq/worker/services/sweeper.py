"""Runs the sweeps, each when its next work is due, and at the latest after its own interval."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from typing import Final

from mongoq.core.events import Signpost
from mongoq.core.judging.policy import SHORTEST_LEASE
from mongoq.storage.commands import Op
from mongoq.storage.context import Context
from mongoq.storage.documents.filters import SKEW
from mongoq.storage.operations import sweep
from mongoq.storage.operations.flow.undone import sweep_flow
from mongoq.storage.operations.limits.parking import AHEAD as STARTS_AHEAD
from mongoq.storage.operations.limits.sweeping import sweep_limits
from mongoq.storage.operations.recovery.skip_locked import BlockedKeys
from mongoq.storage.operations.schedules.tick import tick
from mongoq.worker.attempt import FOREVER
from mongoq.worker.ledger import RENEWALS_PER_LEASE
from mongoq.worker.runtime import Runtime
from mongoq.worker.stages import Wake

Sweep = Callable[[Context, Collection[str]], Op[sweep.Swept]]

SWEEPS: Final[dict[str, Sweep]] = {
    "promoted": sweep.promote, "rescued": sweep.rescue, "expired": sweep.expire, "ticked": tick,
    "flow": sweep_flow, "limits": sweep.look_at_limits,
}  # fmt: skip

PROMOTE_EVERY: Final = 1.0
"""What another process schedules for sooner than all that was seen is late by this at most."""
PROMOTE_EVERY_WATCHED: Final = 10.0
"""Where news of scheduled tasks comes by itself; what is due at a known time has a timer of its own."""
RESCUE_EVERY: Final = 10.0
"""At most the queue's lease, or a task claimed just after a look would be rescued late. One with a shorter lease of its
own may be, by this at most, where no look has met any such for a while."""
CLOSE_FOR: Final = 300.0
"""Seconds for which a short lease that was met has looks follow one another as closely as it lasts."""
EXPIRE_EVERY: Final = 30.0
"""A claim passes over what has expired: this one only keeps the counts honest."""

TICK_EVERY: Final = 10.0
"""As often as an idle worker's heartbeat: what is written for sooner than the known ticks is late by this at most."""

FLOW_EVERY: Final = 5.0
"""What is left to do for children, batches and limits after a crash is late by this, where tasks have any."""

TICK_EVERY_TOLD: Final = 30.0
"""Where a signal tells of each schedule that is written."""


class Pace:
    """How often to look for lost leases: rarely, and for a while as often as the shortest lease that was seen.

    A lease is known to be short where less of it is left than of one that is renewed in time, or where it has run out
    and no look saw that coming.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._shortest = longest
        self._close_until = 0.0
        self._foreseen = True  # what has run out before the first look says nothing

    def pause(self, now: float) -> float:
        """How many seconds may pass between two looks."""
        return self._shortest if now < self._close_until else self._longest

    def note(self, swept: sweep.Swept, now: float) -> None:
        """Note what a look found."""
        left = FOREVER if swept.next is None else (swept.next - SKEW).total_seconds()
        if swept.moved and not self._foreseen:
            self._watch(0.0, now)
        elif 0 < left < self._longest * (1 - 1 / RENEWALS_PER_LEASE):
            self._watch(left, now)
        self._foreseen = left < self._longest

    def _watch(self, lease: float, now: float) -> None:
        self._shortest = max(SHORTEST_LEASE.total_seconds(), min(lease, self.pause(now)))
        self._close_until = now + CLOSE_FOR


class Sweeper:
    """The service that sweeps; it wakes by `Wake.WORK` where it has made tasks ready.

    `watched` says whether news of scheduled tasks comes by itself, `told` whether news of schedules does.
    """

    def __init__(
        self, runtime: Runtime, *, watched: Callable[[], bool], told: Callable[[], bool] = lambda: False
    ) -> None:
        self._runtime = runtime
        self._watched = watched
        self._told = told
        self._sweeps: dict[str, Sweep] = {**SWEEPS, "limits": self._look_at_limits}
        self._next = dict.fromkeys(SWEEPS, 0.0)
        self._woken = self._rescheduled = False
        self._blocked = BlockedKeys()
        self._pace = Pace(min(RESCUE_EVERY, runtime.context.options.policy.lease.total_seconds()))

    def look_ahead(self, *, schedules: bool = False) -> None:
        """Look for scheduled tasks at the next step, and at schedules: one has just been written."""
        self._woken = True
        self._rescheduled |= schedules

    def look_at_parked(self) -> None:
        """Let go at the next step whoever was parked for a pause that has ended."""
        self._next["limits"] = 0.0

    def step(self, now: float) -> float:
        """Run the sweeps that are due; the seconds until the next one is."""
        if self._woken:
            self._woken = False
            self._next["promoted"] = 0.0
            if self._runtime.context.gate.limited:
                self._next["limits"] = 0.0
        if self._rescheduled:
            self._rescheduled = False
            self._next["ticked"] = 0.0
        counts = {name: self._sweep(name) for name, due in self._next.items() if now >= due}
        if any(counts.get(name) for name in ("promoted", "rescued", "ticked", "flow", "limits")):
            self._runtime.wake(Wake.WORK)
        if any(counts.values()) and self._runtime.telemetry.heard:
            self._runtime.telemetry.emit(Signpost.SWEPT, **{name: counts.get(name, 0) for name in SWEEPS})
        return 0.0 if self._woken else max(0.0, min(self._next.values()) - self._runtime.elapsed())

    def _look_at_limits(self, context: Context, skip_keys: Collection[str]) -> Op[sweep.Swept]:
        """Let tasks go that wait for limits with room; starts that are due are left to the next claim."""
        del skip_keys
        looked = yield from sweep_limits(context, STARTS_AHEAD, serves=True)
        if looked.due:
            self._runtime.freed.add(starts=looked.due)
            self._runtime.wake(Wake.WORK)
        return sweep.Swept(looked.moved, looked.next, (), looked.full)

    def _sweep(self, name: str) -> int:
        runtime = self._runtime
        blocked = self._blocked.keys(runtime.elapsed())
        swept: sweep.Swept = runtime.run(self._sweeps[name](runtime.context, blocked))
        now = runtime.elapsed()
        self._blocked.add(swept.blocked, now)
        if name == "rescued":
            self._pace.note(swept, now)
        if name == "ticked" and swept.moved:
            self._woken = True  # those with a jitter are yet to be promoted
        # The jitter keeps a fleet from sweeping in step; what is due at a known time is not late by it.
        pause = self._longest(name, now) * random.uniform(0.75, 1.0)  # noqa: S311 -- no secret
        if swept.next is not None:
            pause = min(pause, max(0.0, swept.next.total_seconds()))
        self._next[name] = now + pause
        if swept.ended and runtime.telemetry:
            runtime.telemetry.emit(Signpost.FINISHED, count=len(swept.ended), endings=swept.ended)
        return swept.moved

    def _longest(self, name: str, now: float) -> float:
        if name == "promoted":
            return PROMOTE_EVERY_WATCHED if self._watched() else PROMOTE_EVERY
        if name == "rescued":
            return self._pace.pause(now)
        if name == "ticked":
            return TICK_EVERY_TOLD if self._told() else TICK_EVERY
        return FLOW_EVERY if name in ("flow", "limits") else EXPIRE_EVERY
