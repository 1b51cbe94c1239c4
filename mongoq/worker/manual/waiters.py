"""Where those who claim by hand wait for work: one stream, one sweeper and one poll for all who want the same.

A piece of news calls one of them. Whoever gets a task calls the next, who finds out whether there is more: a
hundred who wait cost the server what one costs, and do not fight for one task.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from mongoq.core.clock import elapsed
from mongoq.core.requests import ClaimRequest
from mongoq.worker.runtime import Runtime
from mongoq.worker.services.fetcher import FIRST_POLL, LONGEST_POLL, LONGEST_POLL_WATCHED
from mongoq.worker.services.loop import Health, Loop
from mongoq.worker.services.sweeper import Sweeper
from mongoq.worker.services.watcher import Stream, Waker

T = TypeVar("T")

MOST_KEPT: Final = 8
"""Lobbies that are kept although nobody waits there: those who claim in a loop come back at once."""


class Lobby:
    """One place to wait, for any number of threads."""

    def __init__(self, shared: Runtime, stream: Stream) -> None:
        self._changed = threading.Condition()
        self._called = False
        self._closed = False
        self._waiting = 0
        self._stream = stream
        self._poll = FIRST_POLL
        self._poll_at = 0.0
        self._sweeper = Sweeper(shared, found_work=self.call, watched=lambda: stream.open)
        self._waker = Waker(
            stream, news=self.call, ready=self.call, scheduled=self._look_ahead, telemetry=shared.telemetry
        )
        health = Health(shared.telemetry)
        steps = {"sweeper": self._sweep, "waker": self._waker.step}
        self._loops = {name: Loop(f"lobby-{name}", step, health, self.close) for name, step in steps.items()}
        for loop in self._loops.values():
            loop.start()

    @property
    def deserted(self) -> bool:
        """Whether nobody waits here."""
        return not self._waiting

    def enter(self) -> None:
        """Count one in."""
        with self._changed:
            self._waiting += 1
            if self._waiting == 1:
                self._poll = FIRST_POLL
                self._poll_at = elapsed() + FIRST_POLL
        self._loops["sweeper"].wake()

    def leave(self) -> None:
        """Count one out."""
        with self._changed:
            self._waiting -= 1
            if self.deserted:
                self._waker.idle(False)

    def call(self) -> None:
        """Let one of those who wait look for work."""
        with self._changed:
            self._called = True
            self._changed.notify()

    def wait(self, take: Callable[[], T | None], deadline: float) -> T | None:
        """What `take` brings as soon as it brings something; None at the deadline."""
        while (taken := take()) is None and elapsed() < deadline:
            self._waker.idle(True)
            self._await_call(deadline)
        if taken is not None:
            self._waker.raced(won=True)
            self.call()
        return taken

    def close(self) -> None:
        """Send everybody to look once more, which tells them why."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for loop in self._loops.values():
            loop.stop()

    def _await_call(self, deadline: float) -> None:
        with self._changed:
            while not (self._called or self._closed):
                now = elapsed()
                if now >= deadline:
                    return
                if now >= self._poll_at:
                    # One looks for all of them; the others sleep on.
                    longest = LONGEST_POLL_WATCHED if self._stream.open else LONGEST_POLL
                    self._poll = min(longest, self._poll * 2)
                    self._poll_at = now + self._poll * random.uniform(0.9, 1.1)  # noqa: S311 -- no secret
                    return
                self._changed.wait(min(deadline, self._poll_at) - now)
            self._called = False

    def _sweep(self) -> float | None:
        return None if self.deserted else self._sweeper.step()

    def _look_ahead(self) -> None:
        self._sweeper.look_ahead()
        self._loops["sweeper"].wake()


class Lobbies:
    """The lobbies of one queue object, one for each set of queues and tags that somebody waits for."""

    def __init__(self, make: Callable[[ClaimRequest], Lobby]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._known: dict[tuple[tuple[str, ...], str], Lobby] = {}

    def wait(self, wanted: ClaimRequest, take: Callable[[], T | None], deadline: float) -> T | None:
        """Wait with the others who want the same; see `Lobby.wait`."""
        lobby = self._entered(wanted)
        try:
            return lobby.wait(take, deadline)
        finally:
            lobby.leave()

    def call(self) -> None:
        """There is new work, of this very process."""
        for lobby in list(self._known.values()):
            lobby.call()

    def close(self) -> None:
        """Close all."""
        for lobby in list(self._known.values()):
            lobby.close()

    def _entered(self, wanted: ClaimRequest) -> Lobby:
        name = wanted.queues, repr(sorted(wanted.where.items(), key=lambda item: item[0]))
        with self._lock:
            lobby = self._known.pop(name, None)
            if lobby is None:
                self._forget_deserted()
                lobby = self._make(wanted)
            self._known[name] = lobby  # the last in use is the last to be forgotten
            lobby.enter()
            return lobby

    def _forget_deserted(self) -> None:
        deserted = [name for name, lobby in self._known.items() if lobby.deserted]
        for name in deserted[: max(0, len(self._known) - MOST_KEPT + 1)]:
            self._known.pop(name).close()
