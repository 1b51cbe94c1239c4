"""`document FILE`: put what `all --json` measured into docs/performance.md, for what stood there.

What `peers --json` measured goes into the page and into the README.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.goals import GOALS, Goal
from benchmarks.trees import HERE

PAGE: Final = HERE / "docs" / "performance.md"
README: Final = HERE / "README.md"
FIGURES: Final = ("<!-- figures: ./scripts/bench document FILE writes them -->\n", "<!-- end of the figures -->\n")
PEERS: Final = (
    "<!-- other queues: ./scripts/bench document FILE writes them -->\n",
    "<!-- end of the other queues -->\n",
)
"""Between these lines stands what is replaced."""
HOSTS: Final = (10, 100, 1_000)
IDLE: Final = (256, 64)
"""The largest idle fleet that was measured says what one process costs."""
OTHERS: Final = {
    "graphile-worker": "graphile-worker (PostgreSQL)",
    "bullmq": "BullMQ (Redis)",
    "celery": "Celery (MongoDB)",
}
"""The columns of the table of other queues, after that of mongoq."""
BESIDE: Final = {
    "one": "drain, one worker at its best settings",
    "two": "drain, two of them",
    "installed": "drain, one worker as it is installed",
    "behind": "drain, while 100,000 of 10 priorities wait",
    "new": "enqueue, one by one",
    "bulk": "enqueue, in bulk",
    "p50": "start after the enqueueing call, median, ms",
    "p99": "the 99th percentile, ms",
}
Rows = Mapping[str, Mapping[str, Any]]


def main(arguments: Sequence[str]) -> None:
    """Read the figures, and replace those on the page."""
    parser = argparse.ArgumentParser(prog="./scripts/bench document", description=__doc__)
    parser.add_argument("file", type=Path, help="what ./scripts/bench all --json has printed")
    told = [json.loads(line) for line in parser.parse_args(arguments).file.read_text().splitlines()]
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    when = f"Measured {datetime.now(UTC):%-d %B %Y} on {machine}.\n\n"
    rows = {row["name"]: row for bench in told for row in bench["rows"] if bench["bench"] != "peers"}
    others = {row["name"]: row for bench in told for row in bench["rows"] if bench["bench"] == "peers"}
    if rows:
        PAGE.write_text(replaced(PAGE.read_text(), f"{when}{table(rows)}{fleets(rows)}"))
    if others:
        for page in (PAGE, README):
            page.write_text(replaced(page.read_text(), f"{when}{beside(others)}", PEERS))


def replaced(page: str, text: str, lines: tuple[str, str] = FIGURES) -> str:
    """The page with these figures. Raises ValueError where it has no place for them."""
    begin, end = lines
    done, count = re.subn(f"{re.escape(begin)}.*{re.escape(end)}", lambda _: begin + text + end, page, flags=re.DOTALL)
    if count != 1:
        raise ValueError("the page has no place for the figures")
    return done


def beside(rows: Rows) -> str:
    """The table of other queues; the best figure of a line is bold."""
    lines = [f"| tasks/s | mongoq | {' | '.join(OTHERS.values())} |", f"|---|---|{'---|' * len(OTHERS)}"]
    for name, what in BESIDE.items():
        measured = {other: row for other in OTHERS if (row := rows.get(f"peers.{name}.{other}"))}
        figures = {other: row["limit"] for other, row in measured.items()}
        figures[""] = next(iter(measured.values()))["figure"]
        best = (min if what.endswith("ms") else max)(figures.values())
        told = {other: f"**{_short(one)}**" if one == best else _short(one) for other, one in figures.items()}
        lines.append(f"| {what} | {' | '.join(told.get(other, '-') for other in ('', *OTHERS))} |")
    return "\n".join(lines) + "\n"


def table(rows: Rows, goals: Sequence[Goal] = GOALS) -> str:
    """The table of these rows; a ratio that misses its target is bold."""
    lines = ["| row | what | figure | beside | ratio | target |", "|---|---|---|---|---|---|"]
    for goal in goals:
        row = rows.get(goal.row)
        figure = "not measured" if row is None else f"{_short(row['figure'])} {row['unit']}"
        beside, ratio = goal.beside, ""
        if row is not None and row["ratio"] is not None:
            beside = f"{_short(row['limit'])}: {goal.beside}" if goal.beside[:1].isalpha() else goal.beside
            ratio = f"{row['ratio']:.3g}"
            ratio = f"**{ratio}**" if goal.missed(row["ratio"]) else ratio
        lines.append(f"| `{goal.row}` | {goal.what} | {figure} | {beside} | {ratio} | {goal.told} |")
    return "\n".join(lines) + "\n"


def fleets(rows: Rows) -> str:
    """What fleets cost the server, from the costs of one process and of one task; empty where these are missing."""
    try:
        size = next(size for size in IDLE if f"fleet.idle.{size}.all" in rows)
        idle = {name: rows[f"fleet.idle.{size}.{name}"] for name in ("all", "cpu", "insert")}
        single, batch = rows["cost.single.server"]["figure"], rows["cost.delete.server"]["figure"]
    except (KeyError, StopIteration):
        return ""
    commands, cpu, insert = idle["all"]["figure"], idle["cpu"]["figure"], idle["insert"]["limit"]
    watched = idle["insert"]["figure"] - insert
    lines = [
        "| processes | idle: commands/s, CPU of mongod | 1 task/s each, one by one | 10 tasks/s each, in batches |",
        "|---|---|---|---|",
    ]
    for hosts in HOSTS:
        load = f"{hosts:,} tasks/s: {_cores(hosts * single)} | {10 * hosts:,} tasks/s: "
        load += f"{_cores(10 * hosts * (batch + insert))}"
        lines.append(f"| {hosts:,} | {_short(hosts * commands)}/s, {_cores(hosts * cpu * 1e4)} | {load} |")
    told = (
        f"\nCalculated from the rows above and an idle fleet of {size}, in cores of mongod; the stream of the one "
        f"watcher adds {watched:.1f} µs to each document that is written anywhere in the replica set.\n\n"
    )
    return told + "\n".join(lines) + "\n"


def _cores(microseconds: float) -> str:
    return f"{microseconds / 1e6:.3g} cores"


def _short(figure: float) -> str:
    return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.3g}"
