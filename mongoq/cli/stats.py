"""`mongoq stats`: a row per queue, a row per worker process."""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack
from typing import Annotated, Final

import typer

from mongoq import Queue, TaskState
from mongoq.cli.options import AsJson, place
from mongoq.cli.output import Sheet, live, print_json, show, span

STATES: Final = (
    TaskState.READY,
    TaskState.SCHEDULED,
    TaskState.RUNNING,
    TaskState.COMPLETED,
    TaskState.FAILED,
    TaskState.EXPIRED,
    TaskState.CANCELLED,
)


def stats(
    context: typer.Context,
    watch: Annotated[
        float | None, typer.Option(min=0.1, metavar="SECONDS", help="Show it again every so often, until Ctrl-C.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show how many tasks of each queue stand where, and the worker processes.

    --json prints {"queues": {...}, "workers": [...]}; with --watch, one such line each time.
    """
    pause = threading.Event()
    with place(context).open() as queue, ExitStack() as stack:
        on_terminal = watch is not None and not as_json and sys.stdout.isatty()
        draw = stack.enter_context(live()) if on_terminal else show
        while True:
            if as_json:
                print_json({"queues": queue.stats(), "workers": queue.workers()})
            else:
                draw(sheets(queue))
            if watch is None or pause.wait(watch):
                return


def sheets(queue: Queue) -> list[Sheet]:
    """The tables of a namespace as it stands now."""
    found = queue.stats()
    rows = [(name, *(getattr(row, state) for state in STATES), span(row.oldest_ready)) for name, row in found.items()]
    queues = Sheet(
        f"queues in {queue.namespace}",
        ("queue", *STATES, "oldest"),
        rows,
        empty=f"no tasks in the namespace {queue.namespace}",
    )
    now = queue.time()
    fleet = [
        (one.host, one.pid, ",".join(one.queues), one.workers, one.running, f"{span(one.silent(now))} ago")
        for one in queue.workers()
    ]
    columns = ("host", "pid", "queues", "handlers", TaskState.RUNNING, "last heartbeat")
    return [queues, Sheet("workers", columns, fleet, empty="no workers")]
