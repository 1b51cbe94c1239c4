"""What one process knows of the idle ones of its namespace, and what its own part is. Shared by the services.

Each field is written by one service, and read by the others as it is at that moment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from mongoq.core import fleet
from mongoq.core.fleet import Idle

LOOKED_FOR: Final = 25.0
"""Seconds for which a look at the heartbeats says that somebody watches. An idle process looks every 10 s."""


class Part(StrEnum):
    """What a process does while its fetcher finds nothing."""

    NONE = "none"
    """It works, or it does not know yet."""
    WATCHING = "watching"
    """It keeps a change stream, sweeps, and calls others."""
    SLEEPING = "sleeping"
    """It reads signals, and leaves all else to the watchers."""


@dataclass(slots=True)
class FleetView:
    """The parts of this process and of the others."""

    worker: str
    queues: tuple[str, ...]
    workers: int
    names: tuple[str, ...] = ()
    place: int = field(default_factory=fleet.new_place)
    part: Part = Part.NONE
    idle: bool = False
    """Whether the last claim found nothing."""
    busy_since: float = 0.0
    """When a claim found something last, after one that did not."""
    settled: bool = False
    """Whether it is known if there are signals."""
    tailing: bool = False
    """Whether every signal from now on comes."""
    covers: tuple[str, ...] = ()
    """The queues that the open stream tells of."""
    others: list[Idle] = field(default_factory=list)
    """The other idle processes, as far as they were read: the first ones, or all where this one watches."""
    alone: bool = False
    """Whether the last look saw no other process, idle or busy."""
    looked_at: float = float("-inf")

    @property
    def me(self) -> Idle:
        """This process, as the others see it."""
        watching = self.part is Part.WATCHING
        return Idle(self.worker, self.place, self.queues, self.workers, watching, self.covers, self.names)

    @property
    def watchers(self) -> list[Idle]:
        """Those that watch, this process included where it is one of the first."""
        return fleet.first_to_watch([self.me, *self.others])

    @property
    def sleepers(self) -> list[Idle]:
        """Those that can be called, in the order of their places."""
        return [one for one in fleet.sleepers([self.me, *self.others]) if one.worker != self.worker]

    @property
    def is_to_watch(self) -> bool:
        """Whether this process is one of the first, or these do not hear of all its queues."""
        watchers = self.watchers
        return self.me in watchers or not fleet.covered(self.queues, watchers)

    @property
    def is_deputy(self) -> bool:
        """Whether this process is the next to watch."""
        return fleet.deputy([self.me, *self.others]) == self.me

    @property
    def all_queues(self) -> tuple[str, ...]:
        """The queues of this process and of all that it may have to call."""
        return tuple(sorted({*self.queues, *(queue for one in self.others for queue in one.queues)}))

    def rests(self, now: float) -> bool:
        """Whether others watch and sweep for this process, as far as it knows."""
        return self.part is Part.SLEEPING and self.tailing and now - self.looked_at < LOOKED_FOR
