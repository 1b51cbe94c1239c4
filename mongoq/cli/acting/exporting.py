"""The commands `export` and `import`: tasks as lines of JSON, out of one namespace and into another."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from mongoq import InvalidTask, NewTask, Task
from mongoq.cli.options import (
    AsJson,
    InState,
    OfName,
    OfQueue,
    Since,
    Until,
    Where,
    WithError,
    place,
    refuse,
    resolved,
    tags,
)
from mongoq.cli.output import note, print_json, say
from mongoq.core.lifecycle import LIVE

Output = Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Write there instead of to stdout.")]


def export(
    context: typer.Context,
    *,
    queue: OfQueue = None,
    name: OfName = None,
    state: InState = None,
    where: Where = None,
    error: WithError = None,
    since: Since = None,
    until: Until = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Write tasks as lines of JSON, as `task.to_dict()` makes them, ordered by key; without options all of them.

    `mongoq import` reads them. --json prints {"count": N} instead of a sentence, with --output.
    """
    if as_json and output is None:
        refuse("--json goes with --output: the tasks themselves are written as lines of JSON")
    with place(context).open(reading=True) as line, ExitStack() as stack:
        now = line.time()
        found = line.scan(
            queue=queue, name=name, state=state, where=tags(where or []) or None, error=error,
            since=resolved(since, now), until=resolved(until, now),
        )  # fmt: skip
        stream: IO[str] = sys.stdout if output is None else stack.enter_context(output.open("x", encoding="utf-8"))
        count = 0
        for task in found:
            stream.write(f"{json.dumps(task.to_dict(), allow_nan=False)}\n")
            count += 1
        stream.flush()
    if as_json:
        print_json({"count": count})
    elif output is None:
        note(f"export: {count:,} task{'s' if count != 1 else ''}")
    else:
        say(f"export: {count:,} task{'s' if count != 1 else ''}")


def import_(
    context: typer.Context,
    *,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", show_default=False, help="Lines of `export`; default: stdin.")
    ] = None,
    finished: Annotated[bool, typer.Option("--finished", help="Also those that had ended: they run again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Enqueue the tasks of an `export`, with their keys, queues, names, tags, payloads, times and policies.

    Each begins with fresh attempts. Those that had ended are left out, unless --finished says otherwise; those whose
    key or unique value is taken are skipped, so that an import that was broken off is just done again. Batches and
    parents are not taken along. --json prints {"enqueued", "skipped", "ended"}.
    """
    counts = {"read": 0, "ended": 0}
    with place(context).open() as line, ExitStack() as stack:
        stream: IO[str] = sys.stdin if file is None else stack.enter_context(file.open(encoding="utf-8"))
        enqueued = line.load(_made(stream, counts, finished=finished), on_conflict="skip")
    skipped = counts["read"] - counts["ended"] - enqueued
    if as_json:
        print_json({"enqueued": enqueued, "skipped": skipped, "ended": counts["ended"]})
    else:
        say(f"import: {enqueued:,} enqueued, {skipped:,} there already, {counts['ended']:,} had ended")


def _made(lines: IO[str], counts: dict[str, int], *, finished: bool) -> Iterator[NewTask]:
    """The tasks of an export, to be enqueued anew."""
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        counts["read"] += 1
        task = _read(number, text)
        if task.state not in LIVE and not finished:
            counts["ended"] += 1
            continue
        changes: dict[str, Any] = {"key": task.key, "on_conflict": "skip"}
        if task.state in LIVE:
            changes |= {"run_at": task.run_at, "expires_at": task.expires_at}
        yield task.again(**changes)


def _read(number: int, text: str) -> Task:
    try:
        return Task.from_dict(json.loads(text))
    except (ValueError, RecursionError, InvalidTask) as error:
        raise InvalidTask(f"line {number}: no task of an export: {error}") from None
