"""The command `new`: enqueue a task."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer

from mongoq.cli.options import AsJson, place, span_option, tags
from mongoq.cli.output import (
    clean,
    print_json,
    say,
)


def new(
    context: typer.Context,
    *,
    pairs_: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE...", show_default=False, help="Tags. A VALUE that is JSON is parsed."),
    ] = None,
    queue: Annotated[str, typer.Option(help="The queue of the task.")] = "default",
    name: Annotated[str | None, typer.Option(help="The task function that is to run it.")] = None,
    priority: Annotated[int, typer.Option(help="Higher priorities are claimed first.")] = 0,
    delay: Annotated[timedelta | None, span_option("It is not claimed before this time from now.")] = None,
    expires_in: Annotated[timedelta | None, span_option("It expires if it is not completed within this time.")] = None,
    key: Annotated[str | None, typer.Option(help="The key of the task. Default: generated.")] = None,
    unique: Annotated[str | None, typer.Option(help="At most one unfinished task has this value.")] = None,
    on_conflict: Annotated[
        str, typer.Option(help="If its key or unique is taken: `error`, `skip`, `replace`, `extend` or `again`.")
    ] = "error",
    max_retries: Annotated[int | None, typer.Option(help="Retries after the first attempt.")] = None,
    backoff: Annotated[timedelta | None, span_option("The step of the growing wait before each retry.")] = None,
    deadline: Annotated[timedelta | None, span_option("The longest one attempt may run.")] = None,
    keep_completed: Annotated[timedelta | None, span_option("How long it is kept once completed.")] = None,
    keep_failed: Annotated[timedelta | None, span_option("How long it is kept once it has failed.")] = None,
    as_json: AsJson = False,
) -> None:
    """Enqueue a task and print its key.

    A VALUE that is JSON (a number, true, false, null, a list, an object, a quoted string) is parsed; any other is the
    text itself: `mongoq new user=42 template=welcome 'zip="01234"'`.
    """
    given = {
        "max_retries": max_retries, "backoff": backoff, "deadline": deadline,
        "keep_completed": keep_completed, "keep_failed": keep_failed,
    }  # fmt: skip
    policy: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    chosen = tags(pairs_ or [])
    with place(context).open() as line:
        task = line.new(
            chosen, queue=queue, name=name, priority=priority, delay=delay, key=key, unique=unique,
            on_conflict=on_conflict, expires_at=None if expires_in is None else line.time() + expires_in, **policy,
        )  # fmt: skip
    if as_json:
        print_json(task)
    else:
        say(clean(task.key))
