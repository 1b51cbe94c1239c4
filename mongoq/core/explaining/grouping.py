"""Failed tasks, grouped by what failed and how. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from mongoq.core.tasks.task import Task

_PARTICULAR: Final = re.compile(r"0x[0-9a-fA-F]+|\d+|'[^']*'|\"[^\"]*\"")
"""What differs between messages that say the same: addresses, numbers, quoted values."""
COMPARED: Final = 120
"""So many characters of the first line of a message are compared."""


@dataclass(slots=True)
class FailureGroup:
    """Failed tasks with the same kind of error."""

    kind: str
    """The type of the error."""
    message: str
    """Of the newest one."""
    alike: str
    """The message without what differs between them."""
    newest: Task
    count: int
    first: datetime
    last: datetime
    names: set[str] = field(default_factory=set)
    """The names of the tasks; the queue of one without a name."""


def grouped(tasks: Iterable[Task], *, by_name: bool = False) -> list[FailureGroup]:
    """The groups of failed tasks by type and message of their errors, the largest first; `by_name` keeps names apart.

    Numbers and quoted values in a message are no difference.
    """
    groups: dict[tuple[str, str, str], FailureGroup] = {}
    for task in tasks:
        error = task.last_error
        kind, message = (error.type, error.message) if error else ("without an error", task.note or "")
        name = task.name or task.queue
        alike = _PARTICULAR.sub("…", message.split("\n", 1)[0])[:COMPARED]
        same = (kind, alike, name if by_name else "")
        at = task.finished_at or task.modified_at
        group = groups.get(same)
        if group is None:
            group = groups[same] = FailureGroup(kind, message, alike, task, 0, at, at)
        if at > group.last:
            group.newest, group.message = task, message
        group.count += 1
        group.first, group.last = min(group.first, at), max(group.last, at)
        group.names.add(name)
    return sorted(groups.values(), key=lambda group: -group.count)
