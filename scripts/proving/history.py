"""What happened in a run, as its processes wrote it down, sorted for the invariants that judge it.

Three kinds of witnesses, none of whom sees the others' notes: producers (what was acknowledged), workers (what
they believed to hold, for how long, and which endings they were told were written) and an auditor (every change
that a majority of the servers kept, in the servers' order). The lines, by `what`:

    producers   made      tasks: [key, priority, delayed] each, acknowledged by now
    workers     began     pid
                claimed   sent, doubtful, tasks: the fields of `Claimed` each
                renewed   until, tasks: [key, token] each
                ended     key, token, event: its handler ended; nothing is written yet
                accepted  endings: [key, token, event] each; a sweep, which ends what a lost worker held, has no token
    handlers    ran       key, token: it starts
                returned  key, token: it is about to return
    auditor     change    the fields of `Change`, and what `waiting` judges: parents, batch, limits, counts
                document  key, state, attempts, version, last_token: as it is in the end
    director    run       seed, seconds, rate
                fault     kind, target: it begins
                over      kind, target: it has ended
                died      target: this process was found dead
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from proving.journal import Line
from proving.schedule import SERVERS

GONE = "deleted"
"""The state of a task that was deleted on completion."""
SETTLED = 2.0
"""Seconds after a fault of the servers in which a stale primary may still answer."""


class Claimed(NamedTuple):
    """One task of a claim, as the worker was told."""

    key: str
    token: str
    attempt: int
    priority: int
    run_at: float
    lease: float


class Change(NamedTuple):
    """One write to one task, as a majority of the servers kept it. None: not written by it."""

    key: str
    wall: float
    """When the primary wrote it, on the clock of the lines."""
    version: int | None = None
    state: str | None = None
    token: str | None = None
    last_token: str | None = None
    attempts: int | None = None
    lease_until: float | None = None
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What an invariant says of a history."""

    name: str
    judged: int
    """How many things it looked at: a check that judged nothing has shown nothing."""
    broken: list[str] = field(default_factory=list)
    excused: int = 0
    """How many of them a fault explains."""


class Window(NamedTuple):
    """From when until when a fault was at work."""

    begin: float
    end: float


class History:
    """The lines of a run, by what they say."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._lines: dict[str, list[Line]] = defaultdict(list)
        for line in lines:
            self._lines[line["what"]].append(line)
        self.documents: dict[str, Line] = {line["key"]: line for line in self._lines["document"]}
        self.changes: dict[str, list[Change]] = {}
        for line in self._lines["change"]:
            change = Change(**{name: line.get(name) for name in Change._fields})  # type: ignore[arg-type]
            self.changes.setdefault(change.key, []).append(change)

    def record(self, key: str) -> list[Change]:
        """What the servers did with this task; nothing where they know none."""
        return self.changes.get(key, [])

    def deleted(self) -> list[str]:
        """The tasks that are gone by the servers' own record."""
        return [key for key, changes in self.changes.items() if changes[-1].state == GONE]

    def of(self, what: str) -> list[Line]:
        """The lines that say this, those of one process in order."""
        return self._lines[what]

    def claims(self) -> Iterable[tuple[Line, list[Claimed]]]:
        """Every claim that a worker heard of, with its tasks."""
        for line in self._lines["claimed"]:
            yield line, [Claimed(*task) for task in line["tasks"]]

    def server_faults(self) -> list[Window]:
        """When the servers were in trouble, and a moment after."""
        return [Window(begin, end + SETTLED) for kind, _, begin, end in self._faults() if kind in SERVERS]

    def worker_faults(self) -> dict[int, list[Window]]:
        """When the worker process of this id was frozen, and when it died."""
        pids = {line["by"]: line["pid"] for line in self._lines["began"]}
        found: dict[int, list[Window]] = defaultdict(list)
        for kind, target, begin, end in self._faults():
            if kind not in SERVERS:
                found[pids.get(target, 0)].append(Window(begin, end))
        for line in self._lines["died"]:
            found[pids.get(line["target"], 0)].append(Window(line["at"], line["at"]))
        return found

    def _faults(self) -> Iterable[tuple[str, str, float, float]]:
        over: dict[tuple[str, str], list[float]] = defaultdict(list)
        for line in self._lines["over"]:
            over[line["kind"], line["target"]].append(line["at"])
        for line in self._lines["fault"]:
            kind, target, begin = line["kind"], line["target"], line["at"]
            ends = [end for end in over[kind, target] if end >= begin]
            yield kind, target, begin, min(ends, default=float("inf"))


def within(instant: float, windows: Iterable[Window], margin: float = 0.0) -> bool:
    """Whether an instant lies in one of these, or so close to it."""
    return any(window.begin - margin <= instant <= window.end + margin for window in windows)


def overlaps(time: Window, windows: Iterable[Window]) -> bool:
    """Whether any of these has a moment in common with this time."""
    return any(window.begin <= time.end and time.begin <= window.end for window in windows)


def pid_in(worker: str | None) -> int:
    """The process id in a worker's name, `host:pid:random`."""
    return int(worker.rsplit(":", 2)[1]) if worker and worker.count(":") >= 2 else -1


def split_mark(mark: Any) -> tuple[str, str]:
    """Token and event of a `last_token`."""
    token, _, event = str(mark or "").partition("/")
    return token, event
