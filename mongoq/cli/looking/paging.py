"""Read tasks page by page, in the order that is wanted, as many as are wanted."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mongoq import Queue, Task, TaskState
from mongoq.core.lifecycle import FINISHED

PAGE: Final = 150
"""Tasks of a page: the most that `queue.page` reads."""
_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_EVER: Final = datetime.min.replace(tzinfo=UTC)

SORTS: Final[dict[str, Callable[[Task], Any]]] = {
    "newest": lambda task: _EVER - (task.finished_at or task.created_at),
    "oldest": lambda task: task.finished_at or task.created_at,
    "started": lambda task: task.started_at if task.state is TaskState.RUNNING and task.started_at else _NEVER,
    "error": lambda task: _EVER - (task.last_error.at if task.last_error else _EVER),
    "attempt": lambda task: -task.attempts,
    "priority": lambda task: -task.priority,
    "queue": lambda task: task.queue,
    "name": lambda task: task.name or "",
}
"""What tasks can be sorted by."""


def pages(line: Queue, wanted: Mapping[str, Any], most: int | None = None) -> Iterator[Task]:
    """The tasks that match, one by one, in the order of an index; `most`: no more than so many are read."""
    after: str | None = None
    left = most
    while left is None or left > 0:
        page = line.page(after=after, limit=PAGE if left is None else min(PAGE, left), **wanted)
        yield from page.tasks
        left = left if left is None else left - len(page.tasks)
        after = page.after
        if after is None:
            return


def listed(
    queue: Queue, wanted: dict[str, Any], *, sort: str | None, running_for: timedelta | None, limit: int
) -> Iterator[Task]:
    """The tasks that match, the first so many in the order that is wanted."""
    if running_for is not None:
        wanted = {**wanted, "state": TaskState.RUNNING}
    sort = sort or _own_sort(wanted)
    if sort is None:
        return pages(queue, wanted, limit)
    found: Iterator[Task] = pages(queue, wanted)
    if running_for is not None:
        found = (task for task in found if task.started_at and task.read_at - task.started_at >= running_for)
    return iter(heapq.nsmallest(limit, found, key=SORTS[sort]))


def with_payloads(queue: Queue, found: Iterator[Task]) -> Iterator[Task]:
    """The same tasks with their payloads, as they are now; those that are gone meanwhile are left out."""
    while part := list(itertools.islice(found, PAGE)):
        whole = {task.key: task for task in queue.tasks(keys=[task.key for task in part], limit=None)}
        yield from (whole[task.key] for task in part if task.key in whole)


def _own_sort(wanted: dict[str, Any]) -> str | None:
    """How a state is sorted where nothing else is asked for; None: the order of the index is the one that is meant."""
    state = wanted.get("state")
    if state is TaskState.RUNNING:
        return "started"
    searched = any(wanted.get(name) for name in ("name", "error", "where"))
    # A search goes through the queues by name, and through each from its newest task.
    return "newest" if state in FINISHED and searched and wanted.get("queue") is None else None
