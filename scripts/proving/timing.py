"""The invariants about time: leases, priorities, and tasks that wait for theirs."""

from __future__ import annotations

import heapq
from collections import defaultdict
from itertools import combinations
from typing import Final, NamedTuple

from mongoq.core.lifecycle import TaskState
from proving.history import GONE, Finding, History, Window, overlaps
from proving.journal import Line

RUNNING: Final = TaskState.RUNNING.value
CLOCKS: Final = 1.0
"""Seconds by which a process's idea of the server's clock may be off, after a slow measurement."""


class Span(NamedTuple):
    """From when until when a worker believed to hold a task."""

    begin: float
    end: float
    token: str
    by: str


def leases(history: History) -> Finding:
    """No two workers believe at once that they hold a task; and none is taken away before its lease has ended.

    A worker believes from the moment at which it wrote down its claim, or a renewal, until its countdown (from
    before it was sent) has ended, or its handler. So what it believed between the reply and the note is missed:
    well under a millisecond, unless it was frozen right there.
    """
    spans = _spans(history)
    broken = []
    for key, held in spans.items():
        for one, other in combinations(held, 2):
            overlap = min(one.end, other.end) - max(one.begin, other.begin)
            if one.token != other.token and overlap > 0:
                broken.append(f"task {key} was held by {one.by} and {other.by} at once, for {overlap:.3f} s")
    for key, changes in history.changes.items():
        state, until = "", 0.0
        for change in changes:
            rescued = state == RUNNING and change.state not in (None, RUNNING, GONE) and not change.last_token
            if rescued and change.wall < until:
                broken.append(f"task {key} was taken away {until - change.wall:.3f} s before its lease ended")
            state, until = change.state or state, change.lease_until or until
    return Finding("one valid lease at a time", sum(map(len, spans.values())), broken)


def _spans(history: History) -> dict[str, list[Span]]:
    ended = {(line["key"], line["token"]): float(line["at"]) for line in history.of("ended")}
    spans: dict[str, list[Span]] = defaultdict(list)

    def believe(line: Line, key: str, token: str, until: float) -> None:
        end = min(until, ended.get((key, token), until))
        if end > line["at"]:
            spans[key].append(Span(line["at"], end, token, line["by"]))

    for line, tasks in history.claims():
        for task in tasks:
            believe(line, task.key, task.token, line["sent"] + task.lease)
    for line in history.of("renewed"):
        for key, token in line["tasks"]:
            believe(line, key, token, line["until"])
    return spans


def priority(history: History) -> Finding:
    """No claim takes a task while a more urgent one, which it leaves, is ready.

    Judged at the claim's look, which happened somewhere between its sending and the note of its reply. A more
    urgent task counts if it was ready all that time for sure: acknowledged as due at once before the claim was
    sent, and first claimed (its attempt is number one) by a claim that was sent after the other's reply.

    Missed: tasks that became ready by promotion, retry or rescue; inversions shorter than a claim takes; claims
    while the servers were in trouble, which may have looked at a stale primary, or broke off in the middle; parked
    tasks, because a slot or a start that comes free is given to who waits for it, without a look at other tasks.
    """
    given = _claimed_when_parked(history)
    trouble = history.server_faults()
    ready = _surely_ready(history)
    waiting: dict[int, list[tuple[float, str]]] = defaultdict(list)
    broken, judged, entered = [], 0, 0
    for line, tasks in sorted(history.claims(), key=lambda claim: float(claim[0]["sent"])):
        while entered < len(ready) and ready[entered][0] <= line["sent"]:
            _, urgency, left, key = ready[entered]
            heapq.heappush(waiting[urgency], (-left, key))
            entered += 1
        free = [task for task in tasks if (task.key, task.token) not in given]
        if not free or line["doubtful"] or overlaps(Window(line["sent"], line["at"]), trouble):
            continue
        judged += 1
        lowest = min(task.priority for task in free)
        for urgency, those in waiting.items():
            if urgency > lowest and those and -those[0][0] > line["at"]:
                broken.append(f"{line['by']} claimed priority {lowest} while {those[0][1]} of {urgency} was ready")
    return Finding("no inversion of priorities", judged, broken)


def _claimed_when_parked(history: History) -> set[tuple[str, str]]:
    """The claims, by key and token, of tasks that were parked at that moment."""
    found: set[tuple[str, str]] = set()
    for key, changes in history.changes.items():
        state: str | None = None
        for change in changes:
            if change.token and state == TaskState.PARKED:
                found.add((key, change.token))
            state = change.state or state
    return found


def _surely_ready(history: History) -> list[tuple[float, int, float, str]]:
    """From when each task was surely ready, its priority, until when, and its key; the first to be ready first."""
    left = {task.key: float(line["sent"]) for line, tasks in history.claims() for task in tasks if task.attempt == 1}
    return sorted(
        (line["at"], urgency, left[key], key)
        for line in history.of("made")
        for key, urgency, delayed in line["tasks"]
        if not delayed and key in left
    )


def not_before(history: History) -> Finding:
    """No task is claimed before its `run_at`, but for the second by which a measured clock may be off."""
    broken, judged = [], 0
    for line, tasks in history.claims():
        for task in tasks:
            judged += 1
            if line["at"] < task.run_at - CLOCKS:
                broken.append(f"task {task.key} was claimed {task.run_at - line['at']:.3f} s before its time")
    return Finding("not before its time", judged, broken)
