"""Commands about one task: `new`, `show`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from datetime import timedelta
from typing import Annotated, Any, Final

import typer

from mongoq import BatchNotFound, Queue, Task, TaskError, TaskProgress
from mongoq.cli.options import AsJson, place, refuse, span_option, tags
from mongoq.cli.output import (
    KEPT_TO_ITSELF,
    clean,
    in_words,
    print_json,
    say,
    span,
)

MOST_CHILDREN: Final = 20
"""So many children of a task are listed."""


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


def show(
    context: typer.Context,
    key: Annotated[str, typer.Argument(metavar="KEY", show_default=False, help="The task's key.")],
    as_json: AsJson = False,
) -> None:
    """Show a task with the errors of its attempts, what it waits for and what waits for it, and a batch's counts."""
    if not key:
        refuse("a key is never empty")
    with place(context).open(reading=True) as line:
        task = line.get(key)
        around = [] if as_json else list(_around(line, task))
    if as_json:
        print_json(task)
    else:
        say("\n".join([*_described(task), *around]))


def _around(line: Queue, task: Task) -> Iterator[str]:
    """The parents and children of a task, each with its state, and the counts of the batch that it calls back for."""
    parents = {one.key: one for one in line.tasks(keys=task.parents, limit=None)} if task.parents else {}
    for key in task.parents:
        yield _row("parent", clean(f"{key} ({parents[key].state if key in parents else 'gone'})"))
    children = line.tasks(parent=task.key, payload=False, limit=MOST_CHILDREN + 1) if task.children else []
    for child in children[:MOST_CHILDREN]:
        yield _row("child", clean(f"{child.key} ({child.state})"))
    if len(children) > MOST_CHILDREN:
        yield _row("child", "and more")
    with suppress(BatchNotFound):
        known = line.get_batch(task.key)
        counts = {item.name: getattr(known, item.name) for item in fields(known) if item.type == "int"}
        yield _row("members", ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "none")
        yield _row("batch is", "open" if known.open else "called back" if known.finished else "closed")


def _described(task: Task) -> Iterator[str]:
    structured = (task.tags, task.policy, task.errors, task.last_error, task.progress)
    yield _row("age", span(task.age))
    for item in fields(task):
        value = getattr(task, item.name)
        if item.name in KEPT_TO_ITSELF or value is None or any(value is known for known in structured):
            continue
        yield _row(item.name, clean(value) if not isinstance(value, dict | list) else in_words(value))
    for title, values in (("tags", task.tags), ("policy", task.policy)):
        yield from (_row(f"{title}.{name}", in_words(value)) for name, value in values.items())
    if task.progress:
        yield _row("progress", _said(task.progress))
        if task.progress.log:
            yield f"\nlog of attempt {task.progress.attempt}"
            yield from (f"  {line.at:%Y-%m-%d %H:%M:%S}  {clean(line.text)}" for line in task.progress.log)
    if task.errors:
        yield "\nerrors"
        yield from (f"  {_told(error)}" for error in task.errors)
    if task.last_error:
        yield f"\nlast error\n  {_told(task.last_error)}"
        yield from (f"  {line}" for line in clean(task.last_error.traceback, lines=True).splitlines())


def _row(name: str, text: str) -> str:
    return f"{clean(name.replace('_', ' ')):18}  {text}"


def _said(progress: TaskProgress) -> str:
    share = "" if progress.value is None else f"{progress.value:.0%} "
    return f"{share}{clean(progress.message or '')} (attempt {progress.attempt} at {progress.at.isoformat()})"


def _told(error: TaskError) -> str:
    where = f"attempt {error.attempt} at {error.at.isoformat()} on {error.worker}"
    return clean(f"{error.type}: {error.message} ({where})")
