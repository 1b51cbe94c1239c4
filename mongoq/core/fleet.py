"""Which idle processes watch for new work, and which of the others are called for it. Pure.

An open change stream is paid for by every write of the whole replica set (4 µs of mongod's CPU per document inserted,
mongod 6.0.5), so of all idle processes of a namespace only `WATCHERS` keep one. Each process has a random *place*. The
idle ones are ordered by it, those that watch already first, so that each process sees for itself from the heartbeats
whether it is one of the first, or the deputy that comes next. All others sleep: they read a capped collection of
signals, which is paid for by its own writes only. A watcher that sees more tasks than it can take calls as many
sleepers as these need, by a range of places.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

WATCHERS: Final = 1
"""So many idle processes of a namespace keep a stream: each costs an insert in bulk 4 µs per document, next to 13.

The next in the order is the deputy, which looks for work every two seconds: the death of the watcher costs as much
until it is replaced. With two watchers it would cost nothing, and every write of the replica set half as much again.
"""
LAST_PLACE: Final = 2**31 - 1
SILENT: Final = timedelta(seconds=25)
"""A process may be dead without a heartbeat for so long: an idle one beats every 10 s, and one may be late or lost."""


class SignalKind(StrEnum):
    """What a signal asks of the processes that it is for."""

    WORK = "work"
    """Claim: there are tasks in these queues."""
    ORDERS = "orders"
    """Read what an operator has ordered: a pause or its end, or that a worker is to stop."""
    SCHEDULES = "schedules"
    """Look for the next tick: a schedule was written."""
    WATCH = "watch"
    """Look at the heartbeats: a watcher has become busy, or is gone."""


@dataclass(frozen=True, slots=True)
class Signal:
    """What is written once and reaches all processes of a namespace whose place lies in a range."""

    kind: SignalKind
    low: int = 0
    high: int = LAST_PLACE
    queues: tuple[str, ...] = ()
    count: int = 0
    """How many processes it is meant for."""


@dataclass(frozen=True, slots=True)
class Idle:
    """An idle process, as its last heartbeat tells of it."""

    worker: str
    place: int
    queues: tuple[str, ...]
    workers: int
    """How many tasks it runs at once."""
    watching: bool
    covers: tuple[str, ...] = ()
    """The queues besides its own whose tasks it hears of, where it watches."""
    names: tuple[str, ...] = ()
    """The names of the tasks that it knows; without any it takes all."""

    def takes(self, queue: str | None, name: str | None) -> bool:
        """Whether it takes such a task; where no queue is given it may."""
        return queue is None or (queue in self.queues and (not self.names or name in self.names))


def new_place() -> int:
    """A random place: those that watch are then spread over all hosts."""
    return secrets.randbelow(LAST_PLACE)


def in_order(idle: Iterable[Idle]) -> list[Idle]:
    """Idle processes in the order in which they are to watch."""
    return sorted(idle, key=lambda one: (not one.watching, one.place, one.worker))


def first_to_watch(idle: Iterable[Idle]) -> list[Idle]:
    """The processes that are to watch."""
    return in_order(idle)[:WATCHERS]


def deputy(idle: Iterable[Idle]) -> Idle | None:
    """The process that is the next to watch; None where there is none."""
    return next(iter(in_order(idle)[WATCHERS:]), None)


def sleepers(idle: Iterable[Idle]) -> list[Idle]:
    """The processes that are to be called, in the order of their places."""
    return sorted(in_order(idle)[WATCHERS:], key=lambda one: one.place)


def covered(queues: Collection[str], watchers: Iterable[Idle]) -> bool:
    """Whether these watchers hear of the tasks of all these queues."""
    return set(queues).issubset(queue for one in watchers for queue in (*one.queues, *one.covers))


def turn(worker: str, subject: str, watchers: Collection[str]) -> int:
    """How many watchers act before this one where a task or a queue is concerned: its own order for each."""
    return sum(_weight(subject, other) < _weight(subject, worker) for other in watchers if other != worker)


def chosen(sleeping: Sequence[Idle], after: int, need: int) -> list[list[Idle]]:
    """The sleepers that are called for `need` tasks, in runs of neighbouring places, from behind the place `after`.

    `sleeping` is in the order of places; the first after the last one follow.
    """
    behind = [one for one in sleeping if one.place > after]
    runs: list[list[Idle]] = []
    for part in (behind, sleeping[: len(sleeping) - len(behind)]):
        run: list[Idle] = []
        for one in part:
            if need <= 0:
                break
            run.append(one)
            need -= max(1, one.workers)
        if run:
            runs.append(run)
    return runs


def _weight(subject: str, worker: str) -> bytes:
    return hashlib.blake2b(f"{subject}\0{worker}".encode(), digest_size=8).digest()
