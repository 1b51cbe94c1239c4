"""The protocol of a limit, small enough to look at every state it can reach.

A few tasks of one group, a limit, and workers that take one step at a time: look for a free slot, claim or park, look
once more, run, end, let the next go. A worker may die between any two; then its lease runs out, and sweeps look after
what it left. Each rule can be broken, by the name that stands where it is followed: then the search must find the
promise that does not hold any more.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

READY, PARKED, RUNNING, LOST, DONE = "ready", "parked", "running", "lost", "done"
IDLE: Final = ("idle", -1)


class State(NamedTuple):
    broken: frozenset[str]
    limit: int
    deaths: int  # how many workers may still die
    tasks: tuple[str, ...]
    workers: tuple[tuple[str, int], ...]  # what each is about to do, and with which task
    swept: bool = False  # whether sweeps are needed: a worker has died

    @property
    def held(self) -> int:
        """How many slots are in use: those of the dead, too, until their leases have run out."""
        return sum(task in (RUNNING, LOST) for task in self.tasks)


def explore(*broken: str, tasks: int = 3, workers: int = 2, limit: int = 1, deaths: int = 1) -> tuple[int, str]:
    """Look at every state; how many there are, and the promise that breaks, if one does."""
    first = State(frozenset(broken), limit, deaths, (READY,) * tasks, (IDLE,) * workers)
    ahead, known = [first], {first}
    for state in ahead:
        if state.held > state.limit:
            return len(known), "more run at once than the limit says"
        steps = list(_steps(state))
        if not steps and any(task != DONE for task in state.tasks):
            return len(known), "a task waits for ever"
        for step in steps:
            if step not in known:
                known.add(step)
                ahead.append(step)
    return len(known), ""


def _steps(s: State) -> Iterator[State]:
    for number, (phase, task) in enumerate(s.workers):
        yield from _worker(s, number, phase, task)
        if s.deaths and phase != "dead":
            after = _put(s, task, LOST) if phase == "runs" else s
            yield _go(after, number, "dead")._replace(deaths=s.deaths - 1, swept=True)
    if s.swept:
        yield from _sweeps(s)


def _worker(s: State, number: int, phase: str, task: int) -> Iterator[State]:
    if phase == "idle":
        for found, state in enumerate(s.tasks):
            if state == READY:
                yield _go(s, number, "claims" if s.held < s.limit else "parks", found)
    elif phase == "claims":
        free = s.held < s.limit or "a slot is unique" in s.broken
        won = s.tasks[task] == READY and free
        yield _go(_put(s, task, RUNNING), number, "runs", task) if won else _go(s, number, "idle")
    elif phase == "parks":
        after = _put(s, task, PARKED) if s.tasks[task] == READY else s
        yield _go(after, number, "idle" if "who parks looks again" in s.broken else "looks")
    elif phase == "looks":
        yield _go(_next(s) if s.held < s.limit else s, number, "idle")
    elif phase == "runs":
        after = _put(s, task, DONE) if s.tasks[task] == RUNNING else s
        yield _go(after, number, "idle" if "who ends lets the next go" in s.broken else "ended")
    elif phase == "ended":
        yield _go(_next(s), number, "idle")


def _sweeps(s: State) -> Iterator[State]:
    for task, state in enumerate(s.tasks):
        if state == LOST:
            yield _put(s, task, READY)
    if s.held < s.limit and PARKED in s.tasks and "a sweep looks after the dead" not in s.broken:
        yield _next(s)


def _next(s: State) -> State:
    """Let the first that is parked go."""
    return _put(s, s.tasks.index(PARKED), READY) if PARKED in s.tasks else s


def _put(s: State, task: int, state: str) -> State:
    return s._replace(tasks=(*s.tasks[:task], state, *s.tasks[task + 1 :]))


def _go(s: State, number: int, phase: str, task: int = -1) -> State:
    return s._replace(workers=(*s.workers[:number], (phase, task), *s.workers[number + 1 :]))
