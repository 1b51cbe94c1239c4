"""What is enqueued, asserted; where it is not so, the message shows what is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mongoq.api.base import Base
from mongoq.core.lifecycle import FINISHED
from mongoq.core.requests import checked_selection
from mongoq.core.task import Task
from mongoq.core.validation import shortened
from mongoq.storage.commands import Op
from mongoq.storage.documents import filters
from mongoq.storage.operations import queries
from mongoq.testing.tempo import helper

SHOWN: Final = 20
"""So many of the tasks that are enqueued are shown."""


@helper
def assert_enqueued(
    base: Base, queue: str | None = None, where: Mapping[str, Any] | None = None, *, count: int | None = None
) -> Op[list[Task]]:
    """Assert that unfinished tasks are there, of this queue and with these tags; they are returned, by key.

    Tags are asked for by equality, as in `run(where=)`; a task may have further ones. `count` says how many there must
    be; default: at least one.
    """
    found = yield from _unfinished(base, queue, where)
    wanted = "at least 1" if count is None else str(count)
    if (len(found) != count) if count is not None else not found:
        everything = yield from _unfinished(base, None, None)
        raise AssertionError(f"{wanted} of {_named(queue, where)} wanted, {len(found)} enqueued{_shown(everything)}")
    return found


@helper
def refute_enqueued(base: Base, queue: str | None = None, where: Mapping[str, Any] | None = None) -> Op[None]:
    """Assert that no unfinished task is there, of this queue and with these tags."""
    found = yield from _unfinished(base, queue, where)
    if found:
        raise AssertionError(f"none of {_named(queue, where)} wanted, {len(found)} enqueued{_shown(found)}")


def _unfinished(base: Base, queue: str | None, where: Mapping[str, Any] | None) -> Op[list[Task]]:
    chosen = checked_selection(queue=queue, where=where)
    selected = filters.matching(queue=chosen.queue, where=chosen.where)
    found: list[Task] = yield from base.read(queries.tasks(base.context, selected, claimant=None, limit=0))
    return [task for task in found if task.state not in FINISHED]


def _named(queue: str | None, where: Mapping[str, Any] | None) -> str:
    return f"{f'queue {queue!r}' if queue else 'any queue'}{f' with {dict(where)!r}' if where else ''}"


def _shown(tasks: list[Task]) -> str:
    if not tasks:
        return "; nothing is enqueued"
    lines = [f"\n  {task.queue}: {shortened(dict(task.tags))}, {task.state}" for task in tasks[:SHOWN]]
    more = f"\n  and {len(tasks) - SHOWN} more" if len(tasks) > SHOWN else ""
    return f"; enqueued are:{''.join(lines)}{more}"
