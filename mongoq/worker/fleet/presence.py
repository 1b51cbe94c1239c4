"""Tells the fleet what this process does, and decides from the heartbeats of the others what its part is."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from mongoq.core import fleet
from mongoq.core.events import Signpost
from mongoq.core.fleet import Idle, Signal, SignalKind
from mongoq.storage.operations.fleet import heartbeat, signals
from mongoq.worker.fleet.view import FleetView, Part
from mongoq.worker.runtime import Runtime
from mongoq.worker.stages import Wake

BEAT_EVERY: Final = 5.0
"""For people who watch what runs."""
BEAT_EVERY_IDLE: Final = 9.9
"""A worker is shown as silent 25 s after its last beat, and forgotten after a minute: one may be lost unseen. Below the
10 s after which the server's clock is asked for: the look that follows a beat brings its time."""
BEAT_EVERY_WATCHING: Final = 3.0
"""The others replace a watcher that is silent for 8 s."""
LOOK_AGAIN: Final = 0.3
"""Seconds after which a new watcher looks whether others became one at the same moment."""
DEPUTY_LOOKS_EVERY: Final = 3.0
"""How often the sleeper looks at the others that is the next to watch."""
BUSY_AFTER: Final = 0.3
"""Seconds of work after which a watcher hands over to a sleeper; until then it watches on for the others."""
LINGER: Final = 1.0
"""The same where there is no sleeper: opening a stream costs more than a quiet second."""
FEW: Final = 16
MANY: Final = 2_000
"""How many heartbeats a sleeper and a watcher read."""
NEVER: Final = float("inf")


class Presence:
    """The service of the heartbeats. `changed` is called when the part of this process has become another.

    `beaten` is called after each regular heartbeat. Without `listens` it only beats: in a burst, and where connections
    are few.
    """

    def __init__(
        self,
        runtime: Runtime,
        view: FleetView,
        facts: Callable[[], dict[str, Any]],
        changed: Callable[[], None],
        beaten: Callable[[], None] = lambda: None,
        *,
        listens: bool = True,
    ) -> None:
        self._runtime = runtime
        self._view = view
        self._facts = facts
        self._changed = changed
        self._beaten = beaten
        self._listens = listens
        self._told = (False, False, view.covers)
        """What the last beat said: whether it is idle, whether it watches, and what."""
        self._lists: dict[str, heartbeat.Lists] = {}
        """The long lists of others that were read, by their marks."""
        self._next_beat = -NEVER
        self._next_look = -NEVER
        self._deputy = False
        self._timed = False
        """Whether a step will come in time to end the part of a process that works."""
        self._asked = False

    def wants(self, *, idle: bool) -> bool:
        """Whether a step is to follow, now that the process has become idle or busy."""
        if not self._listens:
            return False
        return self._view.part is Part.NONE if idle else not self._timed

    def ask(self) -> None:
        """Look at the next step whether this process is to watch."""
        self._asked = True

    def step(self, now: float) -> float:
        """Beat, look and decide as far as each is due; the seconds until the next step."""
        after = NEVER
        if self._listens and not self._view.idle:
            after = self._go_on(now)
        if now >= self._next_beat:
            self._beat()
            self._beaten()
            self._next_look = -NEVER
        if self._listens and self._view.idle:
            self._timed = False
            after = self._find_part(now)
        return max(0.0, min(after, self._next_beat - self._runtime.elapsed()))

    def leave(self) -> None:
        """Delete the heartbeat at the end of the worker, and have another one watch where this one did."""
        self._runtime.run(heartbeat.leave(self._runtime.context, self._runtime.worker))
        watched, self._view.part = self._view.part is Part.WATCHING, Part.NONE
        if watched:
            self._call_watchers()

    def _go_on(self, now: float) -> float:
        """Keep the part of an idle process for a while of work; the seconds until that is over."""
        view = self._view
        if view.part is Part.NONE:
            return NEVER
        watched = view.part is Part.WATCHING
        left = view.busy_since + (BUSY_AFTER if watched and view.sleepers else LINGER) - now
        self._timed = left > 0
        if left > 0:
            return left
        self._become(Part.NONE)
        if watched and not view.alone:
            self._beat()
            self._call_watchers()
        return NEVER

    def _find_part(self, now: float) -> float:
        """Look at the others, if it is time, and take the part that is left; the seconds until the next look."""
        view = self._view
        if not view.settled:
            return NEVER  # the tail asks when it knows
        if view.part is not Part.NONE and not self._asked and now < self._next_look:
            return self._next_look - now
        if not view.tailing:
            return self._watch_alone()
        if view.part is Part.NONE and not view.alone:
            self._beat(idle=True)  # before the look: of those that become idle together, each sees some of the others
        self._asked = False
        self._look(MANY if view.part is Part.WATCHING else FEW)
        fresh = view.part is not Part.WATCHING
        self._become(Part.WATCHING if view.is_to_watch else Part.SLEEPING)
        if not view.alone and self._told != self._state():
            self._beat()
        if view.part is Part.WATCHING:
            self._call_watchers()
        before, self._deputy = self._deputy, view.part is Part.SLEEPING and view.is_deputy
        if self._deputy and not before:
            self._runtime.wake(Wake.WORK)  # from now on it polls more often
        pause = self._pause(fresh=fresh)
        self._next_look = self._runtime.elapsed() + pause
        return pause

    def _watch_alone(self) -> float:
        """Watch for nobody else: without signals this process can neither call nor be called. No others need know."""
        view = self._view
        self._asked = False
        view.others, view.alone, self._next_look = [], True, NEVER
        self._become(Part.WATCHING)
        return NEVER

    def _pause(self, *, fresh: bool) -> float:
        """Seconds until the next look; one follows each beat in any case."""
        view = self._view
        if view.alone:
            return NEVER
        if view.part is Part.WATCHING:
            return LOOK_AGAIN if fresh else NEVER
        return DEPUTY_LOOKS_EVERY if view.is_deputy else NEVER

    def _look(self, most: int) -> None:
        runtime, view = self._runtime, self._view
        sent = runtime.elapsed()
        found: heartbeat.Look = runtime.run(heartbeat.read_others(runtime.context, runtime.worker, most, self._lists))
        received = runtime.elapsed()
        if found.time is not None:
            runtime.context.clock.measured(found.time, sent, received)
        view.others, view.alone, view.looked_at = found.idle, found.alone, received

    def _become(self, part: Part) -> None:
        view = self._view
        if part is view.part:
            return
        view.part = part
        if part is Part.SLEEPING:
            self._runtime.telemetry.emit(Signpost.SLEEPING)
        self._changed()

    def _call_watchers(self) -> None:
        """Have sleepers look where there are fewer watchers than there should be."""
        me = [self._view.me] if self._view.part is Part.WATCHING else []
        first = fleet.first_to_watch([*me, *self._view.others])
        missing = sorted((one for one in first if not one.watching), key=_place)
        if missing:
            signal = Signal(SignalKind.WATCH, missing[0].place, missing[-1].place, count=len(missing))
            self._runtime.run(signals.send(self._runtime.context, signal))

    def _state(self) -> tuple[bool, bool, tuple[str, ...]]:
        """What the others are to know; a process without signals is none of them."""
        view = self._view
        watching = view.part is Part.WATCHING and view.tailing
        return view.part is not Part.NONE and view.tailing, watching, view.covers if watching else ()

    def _beat(self, *, idle: bool = False) -> None:
        runtime, view = self._runtime, self._view
        told = (idle or self._state()[0], *self._state()[1:])
        away = (datetime.now(UTC) - runtime.context.clock.now()).total_seconds()
        facts = {"place": view.place, "idle": told[0], "watching": told[1], "covers": list(told[2])}
        facts["clock"] = round(away, 3)
        runtime.run(heartbeat.beat(runtime.context, runtime.worker, {**self._facts(), **facts}))
        self._told = told
        # The jitter keeps a fleet from beating in step.
        self._next_beat = runtime.elapsed() + self._beat_every() * random.uniform(0.96, 1.0)  # noqa: S311 -- no secret

    def _beat_every(self) -> float:
        if self._view.part is Part.WATCHING and not self._view.alone:
            return BEAT_EVERY_WATCHING
        return BEAT_EVERY if len(self._runtime.ledger) else BEAT_EVERY_IDLE


def _place(one: Idle) -> int:
    return one.place
