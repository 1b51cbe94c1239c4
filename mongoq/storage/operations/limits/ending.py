"""What follows the end of tasks that were under limits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from mongoq.core.errors import IndexMissing, StorageError
from mongoq.core.lifecycle import Event
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import Document, Op
from mongoq.storage.context import Context
from mongoq.storage.documents import fields
from mongoq.storage.operations.decide import Ended
from mongoq.storage.operations.limits import parking, rates
from mongoq.storage.operations.namespace.orders import read_if_old

MOST_LINES: Final = 100
"""Lines that one deletion or cancel of many tasks looks at; a sweep looks at the others."""


def let_next_go(context: Context, groups: Iterable[str]) -> Op[None]:
    """Let tasks go that wait for groups in which somebody has made room from outside.

    What was done stays done where that fails; a sweep goes on then.
    """
    named = list(groups)
    if not named:
        return
    try:
        yield from read_if_old(context)
        yield from parking.follow(context, named, parking.AHEAD)
    except (StorageError, IndexMissing):
        return


def let_lines_go(context: Context, gone: Iterable[Document]) -> Op[None]:
    """Let those go that stand in a line behind tasks which were cancelled or deleted, by the documents read before."""
    lines = dict.fromkeys(one[fields.LINE] for one in gone if fields.LINE in one)
    return let_next_go(context, list(lines)[:MOST_LINES])


def line_of(context: Context, task: Task) -> list[str]:
    """The line that a task stands in, where it does."""
    known = (context.gate.limits.get(name) for name in task.limits)
    return [limit.group(task.tags) for limit in known if limit is not None and limit.is_fifo]


def make_room(context: Context, endings: Sequence[Ended], *, hands_over: bool = False) -> Op[None]:
    """Give back the starts of limits that were not used, and let others go that wait for the slots of these.

    With `hands_over` the caller gives the slots to those that wait.
    """
    unused = [one for ending in endings if ending.verdict.event is Event.RELEASE for one in ending.starts]
    yield from rates.give_back(context, rates.given(unused))
    if not hands_over:
        yield from parking.follow(context, [group for ending in endings for group in ending.frees], parking.AHEAD)
