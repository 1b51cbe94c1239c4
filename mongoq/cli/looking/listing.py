"""The command `ls`: list tasks."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Annotated, Final

import typer

from mongoq import Task, TaskError, TaskState
from mongoq.cli.looking.paging import SORTS, listed, with_payloads
from mongoq.cli.looking.selecting import Selection, selecting
from mongoq.cli.options import AsJson, place, refuse, span_option
from mongoq.cli.output import Sheet, brief, note, pairs, print_json_list, show_rows
from mongoq.cli.printing.width import rows

COLUMNS: Final = ("key", "state", "queue", "name", "priority", "age", "since", "attempt", "erred", "error", "tags")
LEAST: Final = {"key": 36, "error": 26}
DROPS: Final = ("priority", "age", "erred", "attempt", "tags", "queue")
"""What a narrow terminal does without, after what was asked for and is the same in all rows."""
PIPED: Final = 100


@selecting()
def ls(
    context: typer.Context,
    *,
    chosen: Selection,
    running_for: Annotated[timedelta | None, span_option("Only those that have been running for so long.")] = None,
    sort: Annotated[str | None, typer.Option(help=f"By {', '.join(SORTS)}; it reads all that match.")] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, max=1_000_000, show_default="a screenful, 100 in a pipe", help="At most this many."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List tasks, the newest first; on a terminal columns are cut to fit.

    With --state, finished tasks are listed by their end, the newest first; running ones by their start, the oldest
    first; ready and scheduled ones as they will be claimed. With --queue alone they are listed state by state, what
    runs first. --json prints a list, with payloads.
    """
    if sort is not None and sort not in SORTS:
        refuse(f"--sort: {sort!r} is none of {', '.join(SORTS)}")
    if running_for is not None and chosen.state not in (None, TaskState.RUNNING):
        refuse(f"--running-for: tasks that are {chosen.state} do not run")
    most = limit or (max(10, rows() - 4) if sys.stdout.isatty() and not as_json else PIPED)
    with place(context).open(reading=True) as line:
        wanted = chosen.options(line.time)
        found = listed(line, wanted, sort=sort, running_for=running_for, limit=most)
        if as_json:
            print_json_list(with_payloads(line, found))
            return
        given = tuple(name for name in ("state", "queue", "name") if name in wanted)
        sheet = Sheet(
            "", COLUMNS, [], empty="no such tasks", sparse=True, cut=True, least=LEAST, drops=(*given, *DROPS)
        )
        count = show_rows(sheet, map(_row, found))
    if count == most:
        note(f"these are the first {most:,}; --limit shows more")


def _row(task: Task) -> tuple[object, ...]:
    error = task.last_error
    state = "cancelling" if task.cancel_requested and not task.finished else task.state
    return (
        task.key, state, task.queue, task.name or "-", task.priority, brief(task.age), _since(task),
        task.attempts, brief(task.read_at - error.at) if error else "-", _told(error), pairs(task.tags),
    )  # fmt: skip


def _since(task: Task) -> str:
    """How long it has been in its state, or when it will leave it."""
    if task.state is TaskState.SCHEDULED:
        return f"in {brief(task.run_at - task.read_at)}"
    begun = task.finished_at or (task.started_at if task.state is TaskState.RUNNING else task.run_at)
    return brief(task.read_at - begun) if begun else "-"


def _told(error: TaskError | None) -> str:
    if error is None:
        return "-"
    message = error.message.strip().partition("\n")[0]
    return f"{error.type}: {message}" if message else error.type
