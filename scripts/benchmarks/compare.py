"""`compare REV`: the working tree beside an older revision, round by round on one server."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.comparing import GUARDED, WORSE, Compared, Round, lacking, pair, readings
from benchmarks.plan import PLAN, ROWS, Size, benchmark_of, is_wanted
from benchmarks.server import embedded
from benchmarks.trees import Tree, trees

WIDTH: Final = 110
EPILOG: Final = """
REV needs its own benchmarks, so it is 91c7e79 or later. A row that REV's benchmarks lack is left out. Where the
working tree has gained that row and can still run on REV's package, --benchmarks here measures it on both; it
also takes away what a change of the benchmarks themselves makes. It fails where modules that the benchmarks
import have moved since REV: then compare with a commit that has the row and the old package.
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """Whom to measure, what of it, where and how often."""

    sides: tuple[Tree, Tree]
    """The old one and the new one."""
    wanted: Sequence[str]
    uri: str
    rounds: int
    tasks: int | None


@dataclass(frozen=True, slots=True)
class Result:
    """What one benchmark told."""

    rows: Sequence[Compared]
    lacking: Sequence[str]


def main(arguments: Sequence[str]) -> None:
    """Parse the command line and compare what it names."""
    parser = argparse.ArgumentParser(
        prog="./scripts/bench compare",
        description="Compare the working tree with REV: alternating rounds on one server, more than 1 is better.",
        epilog=EPILOG,
    )
    parser.add_argument("revision", metavar="REV", help="a commit, tag or branch of this repository")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"rows or benchmarks (default: {', '.join(ROWS)})")
    parser.add_argument("--uri", help="a MongoDB to measure on; default: an embedded one in a temporary folder")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each revision (default: 7)")
    parser.add_argument("--tasks", type=int, help="tasks per round (default: those of `all`)")
    parser.add_argument("--guard", action="store_true", help=f"fail where a row is below {GUARDED} of REV's")
    parser.add_argument(
        "--benchmarks",
        choices=["own", "here"],
        default="own",
        help="each revision's own (default), or those of the working tree on both packages",
    )
    asked = parser.parse_args(arguments)
    if asked.rounds < 1 or (asked.tasks is not None and asked.tasks < 1):
        parser.error("--rounds and --tasks: at least 1")
    try:
        _run(asked)
    except (RuntimeError, ValueError) as error:
        sys.exit(f"error: {error}")


def _run(asked: argparse.Namespace) -> None:
    wanted = asked.names or list(ROWS)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mongoq-compare-")))
        old, new = trees(asked.revision, folder, asked.benchmarks)
        measured, unmeasured = _shared(old, new, wanted)
        uri = asked.uri or stack.enter_context(embedded())
        plan = Plan((old, new), wanted, uri, asked.rounds, asked.tasks)
        results = [_compare(name, plan) for name in measured]
    rows = [row for result in results for row in result.rows]
    left_out = unmeasured + [name for result in results for name in result.lacking]
    absent = [
        name for name in wanted if not any(is_wanted(row, [name]) for row in (*(r.name for r in rows), *left_out))
    ]
    if asked.json:
        told: dict[str, Any] = {"old": old.name, "new": new.name, "rounds": asked.rounds}
        print(json.dumps(told | {"rows": [row.as_json() for row in rows], "left_out": left_out, "unknown": absent}))
    else:
        _show(rows, old, asked.rounds)
        _say_left_out(left_out, absent)
    if asked.guard and (worse := [row.name for row in rows if statistics.median(row.ratios) < GUARDED]):
        sys.exit(f"worse than {old.name}: {', '.join(worse)}")


def _shared(old: Tree, new: Tree, wanted: Sequence[str]) -> tuple[list[str], list[str]]:
    """The benchmarks to run, and those that one revision lacks. Raises ValueError where neither has one."""
    olds, news = old.benchmarks(), new.benchmarks()
    known = {*olds, *news}
    names = list(dict.fromkeys(benchmark_of(name, known) for name in wanted))
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(news)}")
    shared = [name for name in names if name in olds and name in news]
    return shared, [name for name in names if name not in shared]


def _compare(name: str, plan: Plan) -> Result:
    """Run one benchmark by turns; who begins changes every round."""
    told: tuple[list[Round], list[Round]] = ([], [])
    rows: list[Compared] = []
    size = PLAN.get(name, Size(1))
    size = size if plan.tasks is None else replace(size, tasks=plan.tasks)
    for number in range(plan.rounds):
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            said = plan.sides[side].run(name, plan.uri, size.arguments())
            told[side].append(readings(said))
        rows = [row for row in pair(*told) if is_wanted(row.name, plan.wanted)]
        so_far = ", ".join(f"{row.name} {row.ratios[-1]:.2f}" for row in rows)
        print(f"{name}: round {number + 1} of {plan.rounds}: {so_far}", file=sys.stderr, flush=True)
    return Result(rows, lacking(*told, plan.wanted))


def _show(rows: Sequence[Compared], old: Tree, rounds: int) -> None:
    table = Table(title=f"the working tree beside {old.name}, {rounds} rounds each; a ratio above 1 is better")
    for column in ("row", "unit", "old", "new", "ratio", "min", "max", ""):
        table.add_column(column, justify="left" if column in ("row", "unit", "") else "right")
    for row in rows:
        told = row.as_json()
        figures = [f"{told[name]:,}" for name in ("old", "new")]
        ratios = [f"{told[name]:.3f}" for name in ("ratio", "minimum", "maximum")]
        table.add_row(row.name, row.unit, *figures, *ratios, f"< {WORSE}" if row.is_worse else "")
    console = Console()
    console.width = max(console.width, WIDTH)  # a file or a pipe counts as 80 columns, which would cut the names
    console.print(table)


def _say_left_out(left_out: Sequence[str], absent: Sequence[str]) -> None:
    if left_out:
        print(f"left out, since one of the two lacks them: {', '.join(left_out)}")
    if absent:
        print(f"measured by neither: {', '.join(absent)}")
