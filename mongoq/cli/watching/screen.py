"""The screen of `top`: lines that fit the terminal. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from mongoq import TaskState
from mongoq.cli.output import Sheet, clean
from mongoq.cli.printing.fitting import fitted
from mongoq.cli.printing.width import cut
from mongoq.cli.watching.reading import Snapshot, columns
from mongoq.cli.watching.state import KEYS, Row, Top, View

LEAST: Final = {"error": 30, "key": 32, "queue": 20, "name": 12}
DROPS: Final = (TaskState.SCHEDULED, "worker", "progress")
AROUND: Final = 6
"""Lines that are no rows: two of sums, the tabs, the names of the columns, what was said, and the keys."""


class Line(NamedTuple):
    """A line and its style."""

    text: str
    style: str = ""


def drawn(top: Top, now: Snapshot, rows: list[Row], namespace: str, *, width: int, height: int) -> list[Line]:
    """The lines of the screen, from the top: at most `height`, none wider than `width`."""
    tabs = "  ".join(f"[{view}]" if view is top.view else f" {view} " for view in View)
    head = [Line(_fleet(now, namespace), "bold"), Line(_sums(now)), Line(f"{tabs}{_filter(top)}", "dim")]
    lines = [*head, *_table(top, rows, width=width, room=max(1, height - AROUND))]
    lines += [Line("")] * (height - len(lines) - 2)
    foot = [Line(top.said), Line(_asked(top), "dim")]
    return [Line(cut(clean(line.text), width), line.style) for line in (*lines[: height - 2], *foot)]


def _table(top: Top, rows: list[Row], *, width: int, room: int) -> list[Line]:
    """The rows around the cursor, as many as there is room for, below the names of the columns."""
    shown = top.shown(rows)
    if not shown:
        return [Line(f"(nothing has {top.filter!r} in it)" if top.filter else f"(no {top.view})", "dim")]
    place = top.cursor
    start = max(0, min(place - room // 2, len(shown) - room))
    part = [row.cells for row in shown[start : start + room]]
    head, *body = fitted(Sheet("", columns(top.view), part, "", cut=True, least=LEAST, drops=DROPS), width)
    return [Line(head, "dim"), *(Line(text, "reverse" if start + n == place else "") for n, text in enumerate(body))]


def _fleet(now: Snapshot, namespace: str) -> str:
    slots = sum(worker.workers for worker in now.workers)
    busy = sum(worker.running for worker in now.workers)
    silent = sum(worker.is_silent(now.at) for worker in now.workers)
    quiet = f", {silent} silent" if silent else ""
    return f"{namespace}  {now.at:%H:%M:%S} UTC  {_workers(len(now.workers))}{quiet}, {busy} of {slots} handlers busy"


def _workers(count: int) -> str:
    return f"{count:,} worker{'s' if count != 1 else ''}"


def _sums(now: Snapshot) -> str:
    states = (TaskState.READY, TaskState.RUNNING, TaskState.SCHEDULED, TaskState.PARKED, TaskState.FAILED)
    counts = ((state, sum(getattr(row, state) for row in now.queues.values())) for state in states)
    paused = f"  paused: {', '.join(map(str, now.pauses))}" if now.pauses else ""
    return "  ".join(f"{count:,} {state}" for state, count in counts) + paused


def _filter(top: Top) -> str:
    return f"  /{top.filter}{'_' if top.typing else ''}" if top.filter or top.typing else ""


def _asked(top: Top) -> str:
    if top.asking is not None:
        return f"retry all failed: {top.asking.about}? y or n"
    return "enter: keep the filter  escape: no filter" if top.typing else KEYS
