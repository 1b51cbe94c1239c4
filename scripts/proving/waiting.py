"""The invariants of tasks that wait for others: under limits, behind parents, in batches. One function each.

They read the auditor's changes of all tasks in the servers' order. What is excused by no fault is judged whatever
happened: a limit, an order of parents and the one call of a batch hold while workers and servers are harmed.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from mongoq.core.lifecycle import FINISHED, TaskState
from mongoq.storage.documents.batching.batches import LOOK_EVERY
from mongoq.storage.documents.filters import SKEW
from mongoq.storage.operations.flow.check import FORGOTTEN
from mongoq.storage.operations.limits.parking import AHEAD
from mongoq.worker.services.sweeper import FLOW_EVERY
from proving.chaos_flow import RATES, SLOTS
from proving.chaos_handlers import LEASE
from proving.history import GONE, Finding, History
from proving.journal import Line

RUNNING: Final = TaskState.RUNNING.value
PARKED: Final = TaskState.PARKED.value
COMPLETED: Final = TaskState.COMPLETED.value
ENDED: Final = frozenset(state.value for state in FINISHED) | {GONE}
RUN: Final = "run"
STRETCHES: Final = (1.0, 5.0)
"""Seconds over which the starts of a rate are counted."""
LEAD: Final = 2 * AHEAD
"""Seconds by which a claim may come before the start that it was granted, and as much on a busy machine."""
BUSY: Final = 5.0
"""Seconds that a busy machine may take for what is due at once; the latest of 35 came after 0.6 s."""
CHILD_LATE: Final = LEASE + SKEW.total_seconds() + FORGOTTEN.total_seconds() + FLOW_EVERY + BUSY
"""Seconds after its last cause: a lease that was lost, the mark of a producer that is gone, a sweep of flow."""
CALLBACK_LATE: Final = LEASE + SKEW.total_seconds() + LOOK_EVERY.total_seconds() + FLOW_EVERY + BUSY
"""The same of a batch, at which sweeps look as often as that."""


class Known(NamedTuple):
    """The tasks at one change, as all changes before it have left them."""

    state: dict[str, str]
    ended_at: dict[str, float]
    born: dict[str, Line]


def _changes(history: History) -> Iterator[tuple[Line, str, str, Known]]:
    """Each change of a state: the line, the state before (`""` of a new task), the one after, and what was known."""
    known = Known({}, {}, {})
    for line in history.of("change"):
        key, after = line["key"], line.get("state")
        before = known.state.get(key, "")
        if not before:
            known.born[key] = line
        if after is not None:
            yield line, before, after, known
            known.state[key] = after
            if after in ENDED:
                known.ended_at[key] = line["wall"]


def limited(history: History) -> Finding:
    """Never more tasks of one group run at once than its limit allows, by the servers' record."""
    held: dict[tuple[str, Any], set[str]] = defaultdict(set)
    broken, judged = [], 0
    for line, _, after, known in _changes(history):
        key, born = line["key"], known.born[line["key"]]
        for name in born.get("limits", ()):
            if name not in SLOTS:
                continue
            group = held[name, born.get("tenant")]
            group.discard(key)
            if after == RUNNING:
                judged += 1
                group.add(key)
                if len(group) > SLOTS[name]:
                    broken.append(f"{len(group)} tasks of {name}:{born.get('tenant')} ran at once, with {key}")
    return Finding("never above a limit", judged, broken)


def rated(history: History) -> Finding:
    """No more tasks of a rate are claimed within 1 s, and within 5, than may start in these, soon after, and at once.

    Missed: what a limit allows too much within less than that. Each start by its instant is for the tests of limits.
    """
    claimed: dict[str, deque[float]] = {name: deque() for name in RATES}
    broken, judged = [], 0
    for line, _, after, known in _changes(history):
        for name in known.born[line["key"]].get("limits", ()):
            if name not in RATES or after != RUNNING:
                continue
            judged += 1
            times, (rate, burst) = claimed[name], RATES[name]
            times.append(line["wall"])
            while times[0] < line["wall"] - max(STRETCHES):
                times.popleft()
            for stretch in STRETCHES:
                count = sum(one >= line["wall"] - stretch for one in times)
                if count > rate * (stretch + LEAD) + burst:
                    broken.append(f"{count} tasks of {name} were claimed within {stretch:g} s, the last {line['key']}")
    return Finding("never above a rate", judged, broken)


def after_parents(history: History) -> Finding:
    """No child runs before all its parents have ended, or before they have completed where it asks for that."""
    broken, judged = [], 0
    for line, _, after, known in _changes(history):
        born = known.born[line["key"]]
        if after != RUNNING or "parents" not in born:
            continue
        judged += 1
        for parent in born["parents"]:
            state = known.state.get(parent, "missing")
            enough = {*ENDED, "missing"} if born.get("on_parent_failure") == RUN else {COMPLETED}
            if state not in enough:
                broken.append(f"task {line['key']} ran while its parent {parent} was {state}")
    return Finding("no child before its parents", judged, broken)


def called_once(history: History) -> Finding:
    """A batch calls back once, when its last member has ended, and has counted them all."""
    broken, judged = [], 0
    members: dict[str, set[str]] = defaultdict(set)
    called: set[str] = set()
    for line, before, after, known in _changes(history):
        key, born = line["key"], known.born[line["key"]]
        if not before and "batch" in born:
            members[born["batch"]].add(key)
            if born["batch"] in called:
                broken.append(f"task {key} came into batch {born['batch']}, which had called back")
        if not born.get("callback") or before != PARKED or after == PARKED:
            continue
        judged += 1
        if key in called:
            broken.append(f"batch {key} called back twice")
        called.add(key)
        left = [one for one in members[key] if known.state.get(one) not in ENDED]
        if left:
            broken.append(f"batch {key} called back while {left[0]} was {known.state.get(left[0])}")
        if line.get("counted", 0) != len(members[key]):
            broken.append(f"batch {key} has {len(members[key])} members and counted {line.get('counted')}")
    return Finding("one callback of a batch", judged, broken)


def released_soon(history: History) -> Finding:
    """What waits goes on soon after its last cause is gone: the end of others, the close of a batch, the last fault."""
    faults = [*history.server_faults(), *(one for some in history.worker_faults().values() for one in some)]
    calm = max((window.end for window in faults if window.end != float("inf")), default=0.0)
    closed = {line["key"]: float(line["wall"]) for line in history.of("change") if line.get("closed")}
    members: dict[str, list[str]] = defaultdict(list)
    gone_on: set[str] = set()
    broken, judged = [], 0
    for line, before, after, known in _changes(history):
        key, born = line["key"], known.born[line["key"]]
        if not before and "batch" in born:
            members[born["batch"]].append(key)
        if before != PARKED or after == PARKED or not ("parents" in born or "callback" in born):
            continue
        if key in gone_on:  # it is parked for a limit now
            continue
        gone_on.add(key)
        judged += 1
        causes = [known.ended_at.get(one, 0.0) for one in [*born.get("parents", ()), *members[key]]]
        since = line["wall"] - max([calm, born["wall"], closed.get(key, 0.0), *causes])
        latest = CALLBACK_LATE if "callback" in born else CHILD_LATE
        if since > latest:
            broken.append(f"task {key} stayed parked for {since:.1f} s after all that it waited for had ended")
    return Finding("nothing waits for nothing", judged, broken)


WAITING: Final[tuple[Callable[[History], Finding], ...]] = (limited, rated, after_parents, called_once, released_soon)
