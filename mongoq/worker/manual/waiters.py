"""Where those who claim by hand wait for work: one stream, one sweeper and one poll for all who want the same.

A piece of news calls one of them. Whoever gets a task calls the next, who finds out whether there is more: a
hundred who wait cost the server what one costs, and do not fight for one task.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

from mongoq.core.clock import elapsed
from mongoq.core.requests import ClaimRequest
from mongoq.worker.runtime import Runtime
from mongoq.worker.services.loop import Health
from mongoq.worker.services.watcher import FIRST_POLL, Stream, WorkWatcher
from mongoq.worker.stages import Wake

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
        self._poll_at = 0.0
        runtime = replace(shared, wake=self._wake)
        health = Health(shared.telemetry)
        self._watcher = WorkWatcher(runtime, stream, health, self.close, prefix="lobby-", resting=lambda: self.deserted)
        self._watcher.start()

    @property
    def deserted(self) -> bool:
        """Whether nobody waits here."""
        return not self._waiting

    def enter(self) -> None:
        """Count one in."""
        with self._changed:
            self._waiting += 1
            if self._waiting == 1:
                self._watcher.poll.reset()
                self._poll_at = elapsed() + FIRST_POLL
        self._watcher.wake()

    def leave(self) -> None:
        """Count one out."""
        with self._changed:
            self._waiting -= 1
            if self.deserted:
                self._watcher.idle(False)

    def call(self) -> None:
        """Let one of those who wait look for work."""
        with self._changed:
            self._called = True
            self._changed.notify()

    def wait(self, take: Callable[[], T | None], deadline: float) -> T | None:
        """What `take` brings as soon as it brings something; None at the deadline."""
        while (taken := take()) is None and elapsed() < deadline:
            self._watcher.idle(True)
            self._await_call(deadline)
        if taken is not None:
            self._watcher.raced(won=True)
            self.call()
        return taken

    def close(self) -> None:
        """Send everybody to look once more, which tells them why."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._watcher.stop()

    def _await_call(self, deadline: float) -> None:
        with self._changed:
            while not (self._called or self._closed):
                now = elapsed()
                if now >= deadline:
                    return
                if now >= self._poll_at:
                    # One looks for all of them; the others sleep on.
                    self._poll_at = now + self._watcher.poll.next(watched=self._watcher.watched)
                    return
                self._changed.wait(min(deadline, self._poll_at) - now)
            self._called = False

    def _wake(self, wake: Wake) -> None:
        if wake is Wake.SCHEDULED:
            self._watcher.look_ahead()
        else:
            self.call()


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
