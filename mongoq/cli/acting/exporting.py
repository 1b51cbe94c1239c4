"""The command `export`: tasks as lines of JSON, each behind the limits that it is under."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from mongoq import Limit, Task
from mongoq.cli.looking.selecting import Selection, selecting
from mongoq.cli.options import AsJson, place, refuse
from mongoq.cli.output import note, print_json, say

Output = Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Write there instead of to stdout.")]
LIMIT = "limit"
"""What a line with a limit has instead of the fields of a task."""
LIMIT_FIELDS = frozenset({"name", "concurrency", "by", "order", "rate", "per", "burst"})


@selecting()
def export(
    context: typer.Context,
    *,
    chosen: Selection,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Write tasks as lines of JSON, as `task.to_dict()` makes them, ordered by key; without options all of them.

    Each limit that they name is written before its first task. `mongoq import` reads both. Pauses, schedules and
    history are not exported. With --output, --json prints {"count": N} instead of a sentence.
    """
    if as_json and output is None:
        refuse("--json goes with --output: the tasks themselves are written as lines of JSON")
    with place(context).open(reading=True) as line, ExitStack() as stack:
        found = line.scan(**chosen.options(line.time))
        limits = {limit.name: limit for limit in line.limits()}
        stream: IO[str] = sys.stdout if output is None else stack.enter_context(output.open("x", encoding="utf-8"))
        count = 0
        for record in lines(found, limits):
            stream.write(f"{json.dumps(record, allow_nan=False)}\n")
            count += LIMIT not in record
        stream.flush()
    told = f"export: {count:,} task{'s' if count != 1 else ''}"
    if as_json:
        print_json({"count": count})
    elif output is None:
        note(told)
    else:
        say(told)


def lines(tasks: Iterable[Task], limits: Mapping[str, Limit]) -> Iterator[dict[str, Any]]:
    """The lines of an export: tasks, and each limit that they are under before the first of these."""
    written: set[str] = set()
    for task in tasks:
        for name in [name for name in task.limits if name in limits and name not in written]:
            written.add(name)
            yield {LIMIT: _written(limits[name])}
        yield task.to_dict()


def _written(limit: Limit) -> dict[str, Any]:
    """A limit as the arguments of `queue.limit`; a value that is the default is left out."""
    given: dict[str, Any] = {"name": limit.name, "concurrency": limit.concurrency, "by": limit.by, "order": limit.order}
    if limit.rate is not None:
        given |= {"rate": limit.rate, "per": limit.per.total_seconds(), "burst": limit.burst}
    return {name: value for name, value in given.items() if value is not None}
