"""The commands `show` and `why`: one task, what matters first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from typing import Annotated, Final

import typer

from mongoq import BatchNotFound, LimitNotFound, Queue, Task
from mongoq.cli.looking.describing import around_first, described, row
from mongoq.cli.options import AsJson, place, refuse
from mongoq.cli.output import clean, print_json, say, tell
from mongoq.cli.printing.width import hanging, room
from mongoq.core.explaining.why import limit_without_room, standing

MOST_CHILDREN: Final = 20
"""So many children of a task are listed."""
Key = Annotated[str, typer.Argument(metavar="KEY", show_default=False, help="The task's key.")]


def show(
    context: typer.Context,
    key: Key,
    frames: Annotated[bool, typer.Option("--frames", help="With the frames of mongoq and of libraries.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a task: how it stands and why, its errors, what it waits for and what waits for it, a batch's counts.

    Of the last traceback the frames of mongoq and of libraries are folded.
    """
    _check(key)
    with place(context).open(reading=True) as line:
        task = line.get(key)
        if as_json:
            print_json(task)
            return
        why = standing(task, line.workers(), line.pauses())
        lines = [*around_first(task, why), *_around(line, task), *described(task, frames=frames)]
    wide = room()
    say("\n".join(piece for text in lines for piece in hanging(text, wide, 2 if text.startswith(" ") else 20)))


def why(context: typer.Context, key: Key, as_json: AsJson = False) -> None:
    """Say why a task does not run, or how it stands.

    It names the time, pause, missing worker, limit, parents or holder that the task waits for. --json prints {"key",
    "state", "why"}.
    """
    _check(key)
    with place(context).open(reading=True) as line:
        task = line.get(key)
        said = standing(task, line.workers(), line.pauses())
        related = [*_parents(line, task), *_room(line, task)]
    if as_json:
        print_json({"key": task.key, "state": task.state, "why": said})
        return
    for text in (clean(said), *related):
        tell(text)


def _check(key: str) -> None:
    if not key:
        refuse("a key is never empty")


def _around(line: Queue, task: Task) -> Iterator[str]:
    """The parents and children of a task, each with its state, and the counts of the batch that it calls back for."""
    yield from _parents(line, task)
    yield from _room(line, task)
    children = line.tasks(parent=task.key, payload=False, limit=MOST_CHILDREN + 1) if task.children else []
    for child in children[:MOST_CHILDREN]:
        yield row("child", clean(f"{child.key} ({child.state})"))
    if len(children) > MOST_CHILDREN:
        yield row("child", "and more")
    with suppress(BatchNotFound):
        known = line.get_batch(task.key)
        counts = {item.name: getattr(known, item.name) for item in fields(known) if item.type == "int"}
        yield row("members", ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "none")
        yield row("batch is", "open" if known.open else "called back" if known.finished else "closed")


def _parents(line: Queue, task: Task) -> Iterator[str]:
    parents = {one.key: one for one in line.tasks(keys=task.parents, limit=None)} if task.parents else {}
    for key in task.parents:
        yield row("parent", clean(f"{key} ({parents[key].state if key in parents else 'gone'})"))


def _room(line: Queue, task: Task) -> Iterator[str]:
    """Of the group of a limit that a task waits for: how many run and wait, and who halts the line."""
    limit = limit_without_room(task)
    if limit is None:
        return
    with suppress(LimitNotFound):
        for group in line.limit_state(limit[0]):
            if group.value == limit[1]:
                behind = f", behind {group.behind}" if group.behind else ""
                yield row(f"limit {limit[0]}", clean(f"{group.running:,} run, {group.waiting:,} wait{behind}"))
