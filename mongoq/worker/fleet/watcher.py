"""All that lets a worker know of new work: sweeper, heartbeat, stream, signals and calls, in loops of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from mongoq.core.fleet import Signal
from mongoq.storage.operations.namespace.orders import LOOK_EVERY
from mongoq.worker.fleet.caller import Caller
from mongoq.worker.fleet.presence import Presence
from mongoq.worker.fleet.tail import Signals, Tail
from mongoq.worker.fleet.view import FleetView, Part
from mongoq.worker.fleet.watch import FleetWatch, QueueStream
from mongoq.worker.recording.keeper import Keeper
from mongoq.worker.runtime import Runtime
from mongoq.worker.services.loop import Health, Loop
from mongoq.worker.services.orders import OrderReader
from mongoq.worker.services.sweeper import Sweeper
from mongoq.worker.services.watcher import LONGEST_POLL, LONGEST_POLL_WATCHED, Poll

LONGEST_POLL_CALLED: Final = 30.0
"""While others watch and call this process, the poll is there for what they and their signals miss."""
LONGEST_POLL_DEPUTY: Final = 2.0
"""The same for the next to watch: what a watcher that has just died did not tell waits for so long."""
FIRST_POLL_WATCHED: Final = 0.5
"""With a stream the first polls need not follow closely: for one task four claims were tried, and two do."""
UNCALLED: Final = 5.0
"""Seconds without a call after which the deputy takes what it finds for unknown to the watcher."""
SWEEP_AGAIN: Final = 5.0
"""Seconds after which a process that leaves the sweeps to others looks whether they are still there."""
ORDERS_EVERY: Final = 30.0
"""Where signals tell of orders, looks are there for what they miss."""


class Streams(NamedTuple):
    """What a worker listens to."""

    news: QueueStream
    signals: Callable[[int], Signals]
    """The signals for a place."""


class FleetWatcher:
    """The services by which a worker learns of work. `called` gets the signals that ask it to claim.

    `beaten` is called after each regular heartbeat, `retire` where an operator orders this worker to stop. Without
    `listens` it only beats and sweeps, and the fetcher polls.
    """

    def __init__(
        self,
        runtime: Runtime,
        view: FleetView,
        streams: Streams,
        health: Health,
        closed: Callable[[], None],
        *,
        facts: Callable[[], dict[str, Any]],
        called: Callable[[Signal], None],
        beaten: Callable[[], None] = lambda: None,
        retire: Callable[[], None] = lambda: None,
        listens: bool = True,
    ) -> None:
        self._runtime = runtime
        self._view = view
        self._retired = False
        self._called = called
        self._called_at = float("-inf")
        self.poll = Poll()
        self._caller = Caller(runtime, view, calm=self._wake("watcher"), wake=self._wake("caller"))
        self._watch = watch = FleetWatch(runtime, view, streams.news, self._caller)
        self._presence = Presence(runtime, view, facts, self._changed, beaten, listens=listens)
        self._sweeper = Sweeper(runtime, watched=lambda: watch.open, told=lambda: view.tailing)
        self._orders = OrderReader(runtime, self._orders_every, retire, self._sweeper.look_at_parked)
        signals = streams.signals(view.place)
        tail = Tail(
            runtime, view, signals, called=self._claim, ask=self._ask, ordered=self._ordered,
            scheduled=lambda: self.look_ahead(schedules=True),
        )  # fmt: skip
        clock = runtime.elapsed
        self.loops = {
            "sweeper": Loop("sweeper", self._sweep, health, closed, clock=clock),
            "heartbeat": Loop("heartbeat", self._presence.step, health, closed, clock=clock, defers=True),
        }
        if listens:
            # Stream and tail may stand on a client that others go on to use.
            self.loops["watcher"] = Loop("watcher", watch.step, health, closed, last=watch.end, clock=clock)
            self.loops["signals"] = Loop("signals", tail.step, health, closed, last=tail.end, clock=clock)
            keeper = Keeper(runtime, view.rests)
            self.loops["history"] = Loop("history", keeper.step, health, closed, last=keeper.end, clock=clock)
            self.loops["caller"] = Loop("caller", self._caller.step, health, closed, clock=clock)

    @property
    def informed(self) -> bool:
        """Whether nothing was ready at the last claim, and whatever has become ready since is told."""
        return self._view.idle and self._watch.open

    def look_ahead(self, *, schedules: bool = False) -> None:
        """Look for scheduled tasks now, and at schedules: what was just written may be due sooner than the others."""
        self._sweeper.look_ahead(schedules=schedules)
        self.loops["sweeper"].wake()

    def idle(self, idle: bool) -> float:
        """Note whether the last claim found nothing; the longest pause until the next one."""
        view = self._view
        idle = idle and not self._retired
        if idle != view.idle:
            view.idle = idle
            if not idle:
                view.busy_since = self._runtime.elapsed()
            if self._presence.wants(idle=idle):
                self.loops["heartbeat"].wake()
            if idle and "watcher" in self.loops:
                self.loops["watcher"].wake()
        if view.rests(self._runtime.elapsed()):
            return LONGEST_POLL_DEPUTY if view.is_deputy else LONGEST_POLL_CALLED
        if self._watch.open:
            self.poll.skip(FIRST_POLL_WATCHED)
            return LONGEST_POLL_WATCHED
        return LONGEST_POLL

    def more(self) -> None:
        """Note that there is more than one claim took: others may be needed.

        A watcher calls them; the deputy does where it was not called itself, so that nobody else seems to know.
        """
        view, now = self._view, self._runtime.elapsed()
        alert = view.part is Part.SLEEPING and now - self._called_at > UNCALLED and view.is_deputy
        if alert or view.part is Part.WATCHING:
            self._caller.look(now, own=True)

    def took(self, queues: Callable[[], Iterable[str]]) -> None:
        """Note that tasks of these queues were claimed here."""
        if self._view.part is Part.WATCHING:
            self._caller.took(queues())

    def retire(self) -> None:
        """Have no part in the fleet any more: the worker is about to end."""
        self._retired = True
        self.idle(False)

    def leave(self) -> None:
        """Delete the heartbeat."""
        self._presence.leave()

    def _claim(self, signal: Signal) -> None:
        self._called_at = self._runtime.elapsed()
        self._called(signal)

    def _sweep(self, now: float) -> float | None:
        ordered = self._orders.step(now)
        return min(ordered, SWEEP_AGAIN if self._view.rests(now) else self._sweeper.step(now))

    def _orders_every(self, now: float) -> float:
        if not self._view.tailing:
            return LOOK_EVERY
        return ORDERS_EVERY * (2 if self._view.rests(now) else 1)  # one that sleeps does not claim by itself

    def _ordered(self) -> None:
        self._orders.ask()
        self.loops["sweeper"].wake()

    def _changed(self) -> None:
        for name in ("sweeper", "watcher"):
            self._wake(name)()

    def _ask(self) -> None:
        self._presence.ask()
        self.loops["heartbeat"].wake()

    def _wake(self, name: str) -> Callable[[], None]:
        return lambda: self.loops[name].wake() if name in self.loops else None
