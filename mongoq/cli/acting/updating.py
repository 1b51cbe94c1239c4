"""The command `update`: change a waiting task."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer

from mongoq.cli.acting.auditing import audited
from mongoq.cli.options import AsJson, moment_option, parsed, place, refuse, span_option, tags
from mongoq.cli.output import clean, print_json, tell
from mongoq.core.validation import UNSET


def update(
    context: typer.Context,
    key: Annotated[str, typer.Argument(metavar="KEY", show_default=False, help="The task's key.")],
    pairs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TAG=VALUE...]", show_default=False, help="Tags to be set; null removes one."),
    ] = None,
    *,
    priority: Annotated[int | None, typer.Option(help="Its new priority.")] = None,
    delay: Annotated[timedelta | None, span_option("It is not claimed before this time from now; 0: due.")] = None,
    run_at: Annotated[Any, moment_option("It is not claimed before this instant.")] = None,
    expires_in: Annotated[timedelta | None, span_option("It expires if it is not completed within this time.")] = None,
    never_expires: Annotated[bool, typer.Option("--never-expires", help="Remove its expiry.")] = False,
    payload: Annotated[str | None, typer.Option(metavar="VALUE", help="Its new payload; JSON is parsed.")] = None,
    if_version: Annotated[int | None, typer.Option(help="Only if it has this version, as `show` tells it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change a waiting task: its priority, times, tags or payload. What is not given stays.

    `mongoq update KEY user=42 note=null --priority 9 --delay 0`. --json prints the task as it is then.
    """
    if expires_in is not None and never_expires:
        refuse("--expires-in and --never-expires exclude each other")
    if isinstance(run_at, timedelta):
        refuse("--run-at takes an instant, such as 2026-08-01T12:30; --delay counts from now")
    changed = tags(pairs or [])
    with place(context).open(reading=True) as line, audited(line, "edit", {"key": key}) as told:
        expires_at: Any = None if never_expires else UNSET
        task = line.update(
            key, priority=priority, delay=delay, run_at=run_at, tags=changed or None, if_version=if_version,
            expires_at=expires_at if expires_in is None else line.time() + expires_in,
            payload=UNSET if payload is None else parsed(payload),
        )  # fmt: skip
        told(1)
    if as_json:
        print_json(task)
    else:
        tell(f"update: {clean(task.key)} is {task.state}, version {task.version}")
