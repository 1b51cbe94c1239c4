"""The command `failures`: failed tasks, grouped by what failed and how."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import typer

from mongoq import TaskState
from mongoq.cli.looking.paging import pages
from mongoq.cli.looking.selecting import Selection, selecting
from mongoq.cli.options import AsJson, place
from mongoq.cli.output import Sheet, brief, clean, note, print_json, say, show
from mongoq.cli.printing.width import cut, hanging, room
from mongoq.core.explaining.grouping import FailureGroup, grouped


@selecting("queue", "name", "error", "where", "since", "until")
def failures(
    context: typer.Context,
    *,
    chosen: Selection,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="Look at this many failed tasks.")] = 10_000,
    as_json: AsJson = False,
) -> None:
    """Group failed tasks by name and error, the largest group first.

    Each with its count, the first and the last end, and the key of the newest. Numbers and quoted values in a message
    are no difference. --json prints a list.
    """
    with place(context).open(reading=True) as line:
        now = line.time()
        found = list(pages(line, {"state": TaskState.FAILED, **chosen.options(lambda: now)}, limit))
    groups = grouped(found, by_name=True)
    if as_json:
        print_json([plain(group) for group in groups])
    elif (wide := room()) and groups:
        say("\n".join(text for group in groups for text in _block(group, now, wide)).rstrip())
    else:
        columns = ("count", "name", "error", "message", "first", "last", "example")
        show([Sheet("failures", columns, [_row(group, now) for group in groups], empty="no failed tasks")])
    if len(found) == limit:
        note(f"these are {limit:,} failed tasks; --limit looks at more")


def plain(group: FailureGroup) -> dict[str, Any]:
    """A group as JSON has it."""
    return {
        "count": group.count, "name": ", ".join(sorted(group.names)), "error": group.kind, "message": group.message,
        "first": group.first, "last": group.last, "example": group.newest.key,
    }  # fmt: skip


def _row(group: FailureGroup, now: datetime) -> tuple[object, ...]:
    told = {**plain(group), "message": _first_line(group)}
    return tuple(f"{brief(now - one)} ago" if isinstance(one, datetime) else one for one in told.values())


def _block(group: FailureGroup, now: datetime, wide: int) -> Iterator[str]:
    """The lines of a group on a terminal."""
    yield cut(f"{group.count:>7,}  {clean(group.kind)} in {clean(', '.join(sorted(group.names)))}", wide)
    if message := clean(_first_line(group)):
        yield from _two_lines(message, wide)
    ends = f"last {brief(now - group.last)} ago, first {brief(now - group.first)} ago"
    yield from hanging(f"         {ends}, as {clean(group.newest.key)}", wide, 9)
    yield ""


def _two_lines(message: str, wide: int) -> list[str]:
    """The beginning of a message, in two lines at most."""
    first, *rest = hanging(f"         {message}", wide, 9)
    return [first, *([cut(" ".join([rest[0], *(line.strip() for line in rest[1:])]), wide)] if rest else [])]


def _first_line(group: FailureGroup) -> str:
    return group.message.strip().partition("\n")[0]
