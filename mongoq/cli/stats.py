"""Commands that count tasks and list workers: `stats`, `queues`, `workers`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from typing import Annotated, Final

import typer

from mongoq import Queue, StorageUnavailable, TaskState, WorkerInfo
from mongoq.cli.control.pausing import sheet as pause_sheet
from mongoq.cli.looking import rates
from mongoq.cli.options import AsJson, place
from mongoq.cli.output import Sheet, clean, live, note, print_json, span
from mongoq.cli.output import show as show_sheets

STATES: Final = (
    TaskState.READY,
    TaskState.SCHEDULED,
    TaskState.RUNNING,
    TaskState.PARKED,
    TaskState.COMPLETED,
    TaskState.FAILED,
    TaskState.EXPIRED,
    TaskState.CANCELLED,
)


def stats(
    context: typer.Context,
    *,
    watch: Annotated[
        float | None, typer.Option(min=0.1, metavar="SECONDS", help="Repeat at this interval, until Ctrl-C.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Count only the tasks of this task function; reads all tasks.")
    ] = None,
    attempts: Annotated[
        bool, typer.Option("--attempts", help="Add the highest count of attempts; reads every unfinished task.")
    ] = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="Count now; else figures that a worker has counted may be shown.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the number of tasks of each queue by state, how fast they come and go, and the worker processes.

    --json prints {"queues": {...}, "workers": [...]}; with --watch one such line at each interval. With --watch it
    waits for a server that stops answering.
    """
    with place(context).open(reading=True) as queue, ExitStack() as stack:
        on_terminal = watch is not None and not as_json and sys.stdout.isatty()
        draw = stack.enter_context(live()) if on_terminal else show_sheets

        def show() -> None:
            if as_json:
                print_json(
                    {"queues": queue.stats(name=name, attempts=attempts, exact=exact), "workers": queue.workers()}
                )
            else:
                held = queue.pauses()
                made = sheets(queue, name=name, attempts=attempts, exact=exact)
                draw([*made, *([pause_sheet(queue, held)] if held else [])])

        show()
        if not as_json:
            _say_where_tasks_are(queue)
        if watch is not None:
            _again(show, watch)


def _say_where_tasks_are(queue: Queue) -> None:
    """If this namespace holds no tasks it may be the wrong one: print those that do."""
    if not queue.queues(limit=1):
        others = [clean(name) for name in queue.namespaces() if name != queue.namespace]
        if others:
            shown = ", ".join(others[:10]) + (", ..." if len(others) > 10 else "")
            note(f"the namespace {clean(queue.namespace)} holds no tasks; these do: {shown} (choose by --namespace)")


def queues(
    context: typer.Context,
    *,
    prefix: Annotated[str | None, typer.Option(help="Only queues with this prefix.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only this many, by name.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the queues that have tasks, with the number of unfinished ones. --json prints {NAME: N}."""
    with place(context).open(reading=True) as queue:
        found = queue.queues(prefix=prefix, limit=limit)
    if as_json:
        print_json(found)
    else:
        show_sheets([Sheet("queues", ("queue", "unfinished"), list(found.items()), empty="no queues")])


def workers(context: typer.Context, as_json: AsJson = False) -> None:
    """List the worker processes that sent a heartbeat within the last minute. --json prints a list."""
    with place(context).open(reading=True) as queue:
        if as_json:
            print_json(queue.workers())
        else:
            show_sheets([fleet(queue)])


def sheets(queue: Queue, *, name: str | None = None, attempts: bool = False, exact: bool = False) -> list[Sheet]:
    """Make the tables of a namespace: its queues, their rates where these are known, and the workers."""
    rows = []
    found = queue.stats(name=name, attempts=attempts, exact=exact)
    for its, row in found.items():
        most = [row.most_attempts or 0] if attempts else []
        counts = (*(getattr(row, state) for state in STATES), row.unhandled)
        rows.append((f"{its} (paused)" if row.paused else its, *counts, span(row.oldest_ready), *most))
    nothing = f"no tasks in the namespace {queue.namespace}"
    columns = ("queue", *STATES, "unhandled", "oldest", *(["most attempts"] if attempts else []))
    counts_of = Sheet(f"queues in {queue.namespace}", columns, rows, empty=nothing, sparse=True)
    speeds = rates.sheet(found)
    return [counts_of, *([] if speeds is None else [speeds]), fleet(queue)]


def fleet(queue: Queue) -> Sheet:
    """Make the table of the worker processes."""
    now = queue.time()
    workers = queue.workers()
    mixed = len({one.version for one in workers}) > 1
    rows = []
    for one in workers:
        counts = one.workers, one.running, one.ahead
        version = [one.version or "unknown"] if mixed else []
        rows.append((one.host, str(one.pid), ",".join(one.queues), *counts, _heard(one, now), *version))
    versions = ["mongoq"] if mixed else []
    columns = ("host", "pid", "queues", "handlers", TaskState.RUNNING, "ahead", "last heartbeat", *versions)
    return Sheet("workers", columns, rows, empty="no workers")


def _heard(one: WorkerInfo, now: datetime) -> str:
    return f"{span(one.silent(now))} ago{', silent' if one.is_silent(now) else ''}"


def _again(show: Callable[[], None], pause: float) -> None:
    """Repeat `show` at this interval; when the server does not answer, say so once and keep trying."""
    answered = True
    waiting = threading.Event()
    while not waiting.wait(pause):
        try:
            show()
        except StorageUnavailable as error:
            if answered:
                note(f"{error}; waiting for it")
            answered = False
        else:
            answered = True
