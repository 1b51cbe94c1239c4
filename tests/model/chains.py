"""The protocol of tasks that share the slots of a limit, small enough to look at every state it can reach.

A worker claims some tasks for fewer slots: *followers* without a slot and *holders* with one. It runs as many at once
as it has slots, the holders last, writes the endings in any order, and claims parked tasks for each slot that comes
free. A worker may stop, or die between any two steps; then its leases run out, and sweeps look after what it left.
Each rule can be broken, by the name that stands where it is followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

READY, PARKED, HOLDS, SHARES, LOST, LOST_SLOT, DONE = "ready", "parked", "holds", "shares", "lost", "lost slot", "done"
Tasks = tuple[int, ...]


class Worker(NamedTuple):
    phase: str = "idle"
    followers: Tasks = ()
    holders: Tasks = ()
    started: Tasks = ()  # in handlers
    ended: Tasks = ()  # whose endings are not written yet
    freed: int = 0  # slots that came free and were not given to anybody yet

    @property
    def claimed(self) -> Tasks:
        if self.phase in ("idle", "claims", "admits", "parks", "dead"):
            return ()
        return self.holders + (() if self.phase.endswith("shares") else self.followers + self.started + self.ended)


class State(NamedTuple):
    broken: frozenset[str]
    limit: int
    in_turn: int  # how many tasks share a slot
    deaths: int  # how many workers may still die
    stops: int  # how many may still be told to stop
    tasks: tuple[str, ...]
    workers: tuple[Worker, ...]
    swept: bool = False  # whether sweeps are needed: a worker has died

    @property
    def held(self) -> int:
        """How many slots are in use: those of the dead, too, until their leases have run out."""
        return sum(task in (HOLDS, LOST_SLOT) for task in self.tasks)

    @property
    def fault(self) -> str:
        if sum(len(one.started) for one in self.workers if one.phase != "dead") > self.limit:
            return "more handlers run at once than the limit says"
        known = {task for one in self.workers for task in one.claimed}
        if any(task in (HOLDS, SHARES) and number not in known for number, task in enumerate(self.tasks)):
            return "a slot is held by nobody"
        return ""


def explore(
    *broken: str, tasks: int = 3, workers: int = 2, limit: int = 1, in_turn: int = 2, deaths: int = 0, stops: int = 0
) -> tuple[int, str]:
    """Look at every state; how many there are, and the promise that breaks, if one does."""
    first = State(frozenset(broken), limit, in_turn, deaths, stops, (READY,) * tasks, (Worker(),) * workers)
    ahead, before = [first], {first: list[State]()}
    for state in ahead:
        if state.fault:
            return len(ahead), state.fault
        for step in _steps(state):
            alike = step._replace(workers=tuple(sorted(step.workers)))  # whichever is which
            if alike not in before:
                ahead.append(alike)
                before[alike] = []
            if (alike.deaths, alike.stops) == (state.deaths, state.stops):
                before[alike].append(state)
    ending = [state for state in ahead if set(state.tasks) == {DONE}]
    able = set(ending)  # from which all can still be done, without help by deaths and stops
    for state in ending:
        some = [one for one in before[state] if one not in able]
        able.update(some)
        ending += some
    return len(ahead), "" if len(able) == len(ahead) else "a task waits for ever"


def _steps(s: State) -> Iterator[State]:
    for me, w in enumerate(s.workers):
        yield from _worker(s, me, w)
        if s.deaths and w.phase != "dead":
            lost = _put(_put(s, _own(s, w, HOLDS), LOST_SLOT), _own(s, w, SHARES), LOST)
            yield _be(lost._replace(deaths=s.deaths - 1, swept=True), me, Worker("dead"))
    if s.swept:
        for number, task in enumerate(s.tasks):
            if task == LOST_SLOT or (task == LOST and "a follower has a lease" not in s.broken):
                yield _put(s, (number,), READY)
        if s.held < s.limit and "a sweep looks after the dead" not in s.broken:
            yield _next(s)


def _worker(s: State, me: int, w: Worker) -> Iterator[State]:
    if w.phase == "idle":
        yield from (_be(s, me, one) for one in _found(s, READY, s.limit - s.held, "claims"))
        if s.held >= s.limit and READY in s.tasks:
            yield _be(s, me, Worker("parks", (s.tasks.index(READY),)))
    elif w.phase == "parks":
        s = _put(s, [one for one in w.followers if s.tasks[one] == READY], PARKED)
        yield _be(s, me, Worker() if "who parks looks again" in s.broken else Worker("looks"))
    elif w.phase == "looks":
        yield _be(_next(s) if s.held < s.limit else s, me, Worker())
    elif w.phase in ("claims", "admits"):
        yield from _claimed(s, me, w, READY if w.phase == "claims" else PARKED)
    elif w.phase in ("claims shares", "admits shares"):
        free = READY if w.phase == "claims shares" else PARKED
        got = tuple(one for one in w.followers if s.tasks[one] == free)
        yield _go_on(_put(s, got, SHARES), me, w._replace(phase="runs", followers=got))
    elif w.phase == "serves":
        if "who ends lets the next go" in s.broken or PARKED not in s.tasks or s.held >= s.limit:
            yield _be(s, me, Worker())
            return
        yield _be(_next(s), me, Worker())  # it has no room itself
        yield from (_be(s, me, one) for one in _found(s, PARKED, w.freed, "admits"))
    elif w.phase in ("runs", "stops"):
        yield from _runs(s, me, w)


def _found(s: State, state: str, slots: int, phase: str) -> Iterator[Worker]:
    """Claims of the first tasks in this state, for up to so many slots; which of them get one does not matter."""
    found = tuple(number for number, task in enumerate(s.tasks) if task == state)
    for count in range(1, len(found) + 1):
        for held in range(1, min(count, slots) + 1):
            if count <= held * s.in_turn:
                yield Worker(phase, found[: count - held], found[count - held : count], freed=slots)


def _claimed(s: State, me: int, w: Worker, free: str) -> Iterator[State]:
    """The write of those with slots of their own; that of the others follows, whatever this one has reached."""
    got: Tasks = ()
    for one in w.holders:
        if s.tasks[one] == free and (s.held < s.limit or "a slot is unique" in s.broken):
            s, got = _put(s, (one,), HOLDS), (*got, one)
    yield _be(s, me, w._replace(phase=f"{w.phase} shares", holders=got))


def _runs(s: State, me: int, w: Worker) -> Iterator[State]:
    for one in w.started:
        rest = w._replace(started=_without(w.started, one), ended=(*w.ended, one))
        yield _go_on(s, me, rest)
    for one in w.ended:
        freed = w.freed + (s.tasks[one] == HOLDS)
        yield _go_on(_put(s, (one,), DONE), me, w._replace(ended=_without(w.ended, one), freed=freed))
    if s.stops and w.phase == "runs":
        yield _go_on(s._replace(stops=s.stops - 1), me, w._replace(phase="stops"))


def _go_on(s: State, me: int, w: Worker) -> State:
    """Start as many as there is room for, and give back what is not needed."""
    unwritten = w.holders + w.started
    slots = unwritten if "what has ended has no slot" not in s.broken else unwritten + w.ended
    room = sum(s.tasks[one] == HOLDS for one in slots) - len(w.started)
    if not slots and w.followers and "followers without a slot are given back" in s.broken:
        room = len(w.followers)
    while room > 0 and (w.followers or w.holders) and w.phase != "stops":
        first = w.holders if "those with slots run last" in s.broken and w.holders else w.followers or w.holders
        if first is w.followers:
            w = w._replace(followers=first[1:], started=(*w.started, first[0]))
        else:
            w = w._replace(holders=first[1:], started=(*w.started, first[0]))
        room -= 1
    if w.phase == "stops" or not slots:
        s, w = _put(s, w.followers, READY), w._replace(followers=())
    if w.phase == "stops":
        needed = sum(s.tasks[one] == SHARES for one in w.started)
        needed = 0 if "a slot stays for a follower that runs" in s.broken else needed
        spare = w.holders[needed:]
        s, w = _put(s, spare, READY), w._replace(holders=w.holders[:needed], freed=w.freed + len(spare))
    if w.followers or w.holders or w.started or w.ended:
        return _be(s, me, w)
    return _be(s, me, Worker("serves", freed=w.freed) if w.freed else Worker())


def _own(s: State, w: Worker, state: str) -> list[int]:
    return [one for one in w.claimed if s.tasks[one] == state]


def _without(some: Tasks, one: int) -> Tasks:
    return tuple(other for other in some if other != one)


def _next(s: State) -> State:
    """Let the first that is parked go."""
    return _put(s, (s.tasks.index(PARKED),), READY) if PARKED in s.tasks else s


def _put(s: State, some: Tasks | list[int], state: str) -> State:
    return s._replace(tasks=tuple(state if number in some else task for number, task in enumerate(s.tasks)))


def _be(s: State, me: int, worker: Worker) -> State:
    return s._replace(workers=(*s.workers[:me], worker, *s.workers[me + 1 :]))
