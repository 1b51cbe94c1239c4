"""The command `batches`: those that have not called back, and how far they are."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from mongoq import TaskState
from mongoq.cli.options import AsJson, place
from mongoq.cli.output import Sheet, brief, note, print_json, show
from mongoq.core.lifecycle import FINISHED

COUNTS: Final = ("waiting", TaskState.RUNNING, *sorted(FINISHED))
"""What is told of the members of a batch."""


def batches(
    context: typer.Context,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most this many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest batches that have not called back, with how many of their members are left and have ended.

    `mongoq show KEY` tells more of one. An open one waits for `queue.close_batch`. --json prints a list.
    """
    with place(context).open(reading=True) as line:
        found, now = line.batches(limit), line.time()
    if as_json:
        print_json(found)
        return
    rows = [
        (one.key, brief(now - one.created_at), "yes" if one.open else "-", *(getattr(one, count) for count in COUNTS))
        for one in found
    ]
    columns = ("key", "age", "open", *COUNTS)
    show([Sheet("batches", columns, rows, empty="no batch waits for its members", sparse=True, cut=True)])
    if len(found) == limit:
        note(f"these are the newest {limit:,}; --limit shows more")
