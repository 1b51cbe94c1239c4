"""What must hold of every history, whatever was killed, frozen or cut off meanwhile: one function each.

Each is written so that a correct queue cannot be found guilty. What each can miss for that is said with it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Final

from mongoq.core.lifecycle import FINISHED, TRANSITIONS, Event, TaskState
from mongoq.storage.documents.updates import mark
from proving.history import GONE, Change, Finding, History, pid_in, split_mark, within
from proving.journal import Line
from proving.timing import leases, not_before, priority

RUNNING: Final = TaskState.RUNNING.value
FINAL: Final = frozenset(state.value for state in FINISHED)
ENDED: Final = FINAL | {GONE}
LEGAL: Final = {(source.value, row.target.value) for row in TRANSITIONS for source in row.sources} | {(RUNNING, GONE)}
BORN: Final = frozenset(row.target.value for row in TRANSITIONS if not row.sources)
UNHEARD: Final = 2.0
"""Seconds between the server's write and a fault that kept its claimant from hearing of it."""


def acknowledged(history: History) -> Finding:
    """Every task whose `new` returned is there in the end, or was deleted on completion."""
    made = [task[0] for line in history.of("made") for task in line["tasks"]]
    known = history.documents.keys() | set(history.deleted())
    lost = [f"task {key} was acknowledged and is gone" for key in made if key not in known]
    return Finding("acknowledged tasks are there", len(made), lost)


def finished(history: History) -> Finding:
    """Every task has ended, also those whose `new` raised and yet were made."""
    stuck = [
        f"task {key} is still {document['state']}"
        for key, document in history.documents.items()
        if document["state"] not in FINAL
    ]
    return Finding("every task ends", len(history.documents), stuck)


def observed(history: History) -> Finding:
    """The auditor has seen every version of every task: what it did not see, no other invariant could judge."""
    broken = []
    last = {key: document["version"] for key, document in history.documents.items()}
    for key in history.changes.keys() | last.keys():
        seen = [change.version for change in history.record(key) if change.version is not None]
        if seen != list(range(1, last.get(key, len(seen)) + 1)) or (key not in last and not _gone(history, key)):
            broken.append(f"task {key} has version {last.get(key)}, and the auditor saw {seen}")
    return Finding("the record is whole", len(history.changes), broken)


def _gone(history: History, key: str) -> bool:
    changes = history.record(key)
    return bool(changes) and changes[-1].state == GONE


def one_ending(history: History) -> Finding:
    """A task ends once, an attempt's ending is accepted once, and what was accepted is what the task says.

    A worker killed before it wrote down that its ending was accepted is not missed here: the servers' record
    shows the ending all the same. A sweep that ends what a lost worker held tells no token and leaves no mark: it is
    only judged for telling twice. Of a task that was deleted nothing is left to compare with, and whoever comes
    late is told that it is done: that it was deleted under a sound claim is for `handled` and `fenced` to see.
    """
    broken = []
    for key, changes in history.changes.items():
        ends = [change.state for change in changes if change.state in ENDED]
        if len(ends) > 1:
            broken.append(f"task {key} ended {len(ends)} times: {', '.join(map(str, ends))}")
    times: Counter[tuple[str, str | None]] = Counter()
    for line in history.of("accepted"):
        for key, token, event in line["endings"]:
            times[key, token] += 1
            if times[key, token] == 2:
                broken.append(
                    f"task {key}: the ending under {token} was accepted twice, the second time by {line['by']}"
                )
            if token is None:
                continue
            marks = {mark(token, Event(event)), mark(token, Event.CANCEL)}
            if event == Event.COMPLETE and _gone(history, key):
                continue
            if not any(change.last_token in marks for change in history.record(key)):
                broken.append(f"task {key}: {line['by']} was told that {event} under {token} is written; it is not")
    return Finding("one accepted ending", sum(times.values()), broken)


def handled(history: History) -> Finding:
    """A completed task had a handler that returned, under the claim that completed it."""
    returned = {(line["key"], line["token"]) for line in history.of("returned")}
    completed = {
        key: split_mark(document["last_token"])[0]
        for key, document in history.documents.items()
        if document["state"] == TaskState.COMPLETED.value
    }
    for key in history.deleted():
        completed[key] = next((c.token for c in reversed(history.record(key)) if c.token), "no claim")
    broken = [
        f"task {key} is completed under {token}, and no handler returned under it"
        for key, token in completed.items()
        if (key, token) not in returned
    ]
    return Finding("completed means handled", len(completed), broken)


def fenced(history: History) -> Finding:
    """Every write is a row of the lifecycle table, and every ending is written under the claim of that moment."""
    broken, judged = [], 0
    for key, changes in history.changes.items():
        state, token = "", None
        for change in changes:
            judged += 1
            before, state = state, change.state or state
            if change.last_token and split_mark(change.last_token)[0] != token:
                broken.append(f"task {key}: an ending under {change.last_token} was written while {token} held it")
            if change.state and (before, state) not in LEGAL and (before or state not in BORN):
                broken.append(f"task {key} went from {before or 'nothing'} to {state}")
            token = (change.token or token) if state == RUNNING else None
    return Finding("every write is fenced", judged, broken)


def attempts(history: History) -> Finding:
    """A task counts as many attempts as it was claimed, each claim has a number of its own, and its worker knows of it.

    A claim that its worker never heard of is excused where the worker died or froze, or the servers were in
    trouble, within 2 s of it; how many were is shown.
    """
    heard, broken = _heard(history)
    judged, excused = 0, 0
    servers, workers = history.server_faults(), history.worker_faults()
    for key, changes in history.changes.items():
        claims = _claims(changes)
        judged += len(claims)
        for change, worker in claims:
            if change.token in heard[key]:
                continue
            if within(change.wall, [*servers, *workers[pid_in(worker)]], UNHEARD):
                excused += 1
            else:
                broken.append(f"task {key}: {worker} claimed it, did not hear of it, and had no trouble")
        counted = history.documents[key]["attempts"] if key in history.documents else len(claims)
        if counted != len(claims):
            broken.append(f"task {key} counts {counted} attempts and was claimed {len(claims)} times")
    return Finding("attempts equal claims", judged, broken, excused)


def _heard(history: History) -> tuple[dict[str, dict[str, int]], list[str]]:
    """Which claims of each task its workers know of, by token, with their numbers; and numbers used twice."""
    heard: dict[str, dict[str, int]] = defaultdict(dict)
    twice = []
    for line, tasks in history.claims():
        for key, token, attempt, *_ in tasks:
            if attempt in heard[key].values() and token not in heard[key]:
                twice.append(f"task {key}: attempt {attempt} was claimed twice, the second time by {line['by']}")
            heard[key][token] = attempt
    return heard, twice


def _claims(changes: list[Change]) -> list[tuple[Change, str | None]]:
    """The claims among these changes, each with its worker: the record names one only where it is another."""
    claims, worker = [], None
    for change in changes:
        worker = change.worker or worker
        if change.state == RUNNING:
            claims.append((change, worker))
    return claims


INVARIANTS: Final[tuple[Callable[[History], Finding], ...]] = (
    observed, acknowledged, finished, one_ending, handled, fenced, leases, attempts, priority, not_before,
)  # fmt: skip


def check(lines: Iterable[Line]) -> list[Finding]:
    """What each invariant says of these lines."""
    history = History(lines)
    return [invariant(history) for invariant in INVARIANTS]
