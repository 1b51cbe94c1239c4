"""The command `batches`: those that have not called back, and how far they are."""

from __future__ import annotations

from typing import Annotated

import typer

from mongoq import Batch
from mongoq.cli.options import AsJson, place
from mongoq.cli.output import Sheet, brief, note, print_json, show


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
    columns = ("key", "age", "open", "waiting", "running", "completed", "failed", "cancelled", "expired")
    rows = [(one.key, brief(now - one.created_at), "yes" if one.open else "-", *_counts(one)) for one in found]
    show([Sheet("batches", columns, rows, empty="no batch waits for its members", sparse=True, cut=True)])
    if len(found) == limit:
        note(f"these are the newest {limit:,}; --limit shows more")


def _counts(one: Batch) -> tuple[int, ...]:
    return one.waiting, one.running, one.completed, one.failed, one.cancelled, one.expired
