"""What came free in this process for parked tasks: slots of limits whose tasks have ended, and starts that are due."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from mongoq.core.errors import StorageUnavailable
from mongoq.core.requests import ClaimRequest
from mongoq.limiting.limit import group_of_slot, limit_of
from mongoq.storage.operations.claiming.claim import Claim
from mongoq.storage.operations.limits import parking
from mongoq.storage.operations.limits.allotting import has_plenty
from mongoq.storage.operations.limits.free import Free
from mongoq.storage.operations.limits.serving import serves
from mongoq.worker.services.prefetch import Room

HEAD: Final = "claimer"


class Sharing(NamedTuple):
    """How tasks may share slots of limits."""

    in_turn: int
    """How many may run one after the other in one slot."""
    at_once: int
    """How many slots of scarce limits to take; 0: any number."""
    handlers: int = 0
    """How many handlers there are."""


ALONE: Final = Sharing(1, 0)


def sharing_of(runtime: Any, room: Room) -> Sharing:
    """How tasks may share slots now: a process takes as many slots of scarce limits as it has handlers."""
    in_turn = room.in_turn if runtime.context.gate.limits else 1
    if in_turn == 1:
        return ALONE
    known = runtime.context.gate.limits
    scarce = {name for name, limit in known.items() if not has_plenty(limit, room.workers)}
    held = 0
    if scarce:
        slots = (one.slots for one in runtime.ledger.all() if one.slots and one.open)
        held = sum(any(limit_of(group_of_slot(slot)) in scarce for slot in own) for own in slots)
    return Sharing(in_turn, room.workers - held, room.workers)


class Claims(Protocol):
    """What claims parked tasks."""

    @property
    def whole(self) -> ClaimRequest:
        """All that the worker may claim."""

    def serve(self, free: Free, wanted: int, sharing: Sharing) -> Claim:
        """Claim up to so many parked tasks, as many as there is room for in this."""


class Given:
    """What came free, on its way to parked tasks."""

    def __init__(self, room: int, sharing: Sharing) -> None:
        self._room = room
        self._sharing = sharing
        self.claimed = 0
        """How many tasks were claimed."""

    def give(self, runtime: Any, claims: Claims) -> bool:
        """Claim what there is room for, and make the rest ready for others; whether there was no rest."""
        room, sharing = self._room, self._sharing
        most = room if sharing.in_turn == 1 else sharing.at_once
        free, rest = runtime.freed.take(room if serves(claims.whole) else 0, most)
        try:
            if free:
                count = sum(free.wanted.values())
                sharing = sharing._replace(in_turn=max(1, min(sharing.in_turn, room // count)))
                runtime.ledger.asking[HEAD] = count = min(room, count * sharing.in_turn)
                self.claimed = len(claims.serve(free, count, sharing).unread)
                free = Free({}, {})
            if rest:
                runtime.run(parking.follow(runtime.context, rest.named, parking.AHEAD))
        except StorageUnavailable:
            runtime.freed.put_back(free, rest)
            raise
        return not rest


def hand_over(runtime: Any, slots: Iterable[str]) -> None:
    """Leave slots that came free to the next claim; of a worker that ends they are for others."""
    runtime.freed.add(slots)
    if runtime.ledger.stopping or runtime.ledger.draining:
        let_go(runtime)


def let_go(runtime: Any) -> None:
    """Make ready what there is room for: nobody here claims it."""
    _, rest = runtime.freed.take(0, 0)
    if rest:
        runtime.run(parking.follow(runtime.context, rest.named, parking.AHEAD))


class Freed:
    """Filled by the finisher and the sweeper, emptied by the fetcher. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slots: dict[str, list[str]] = {}
        self._starts: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._slots or self._starts)

    def add(self, slots: Iterable[str] = (), starts: Mapping[str, int] | None = None) -> None:
        """Note slots by their names, and how many starts are due by group."""
        with self._lock:
            for slot in slots:
                self._slots.setdefault(group_of_slot(slot), []).append(slot)
            self._starts |= starts or {}

    def put_back(self, *unused: Free) -> None:
        """Note again what was taken out and not used."""
        for one in unused:
            self.add([slot for own in one.slots.values() for slot in own], one.starts)

    def take(self, room: int, slots_at_most: int) -> tuple[Free, Free]:
        """Take out all: what so many tasks can use, with up to so many slots, and the rest."""
        with self._lock:
            slots, self._slots = self._slots, {}
            starts, self._starts = self._starts, {}
        used: dict[str, list[str]] = {}
        rest: dict[str, list[str]] = defaultdict(list)
        for group, own in slots.items():
            if mine := own[: max(0, min(room, slots_at_most))]:
                used[group] = mine
            if others := own[len(mine) :]:
                rest[group] = others
            room, slots_at_most = room - len(mine), slots_at_most - len(mine)
        due: dict[str, int] = {}
        late: dict[str, int] = {}
        for group, count in starts.items():
            mine_too = min(count, max(0, room))
            due |= {group: mine_too} if mine_too else {}
            late |= {group: count} if mine_too < count else {}
            room -= mine_too
        return Free(used, due), Free(rest, late)
