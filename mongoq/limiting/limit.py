"""A limit as a value, and the group that a task belongs to by it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from mongoq.core.errors import MongoqError

__all__ = ["Limit", "LimitGroup", "LimitNotFound"]

PRIORITY: Final = "priority"
FIFO: Final = "fifo"
ORDERS: Final = (PRIORITY, FIFO)
LONGEST_VALUE: Final = 120


class LimitNotFound(MongoqError, LookupError):
    """No limit has this name."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How many tasks may run at once, or start within a time, in the whole fleet."""

    name: str
    """Its name, by which tasks say that they are under it."""
    concurrency: int | None = None
    """How many tasks of a group run at once; None: any number."""
    by: str | None = None
    """The tag whose value makes the group of a task; None: all tasks of the limit are one group."""
    order: str = PRIORITY
    """Who comes next: `priority` the most urgent, `fifo` strictly the oldest that has not finished."""
    rate: float | None = None
    """How many tasks of a group start in each stretch of `per`; None: any number."""
    per: timedelta = timedelta(seconds=1)
    """The stretch that `rate` counts in."""
    burst: int = 1
    """How many may start at the same time, after a while without any."""
    highest: int = field(default=0, repr=False, compare=False)
    """The highest concurrency that it ever had: so many slots may be in use still."""

    @property
    def is_fifo(self) -> bool:
        """Whether its tasks run strictly one after the other."""
        return self.order == FIFO

    def group(self, tags: Mapping[str, Any]) -> str:
        """The name of the group of a task with these tags: that of the limit, with the value of the tag behind it."""
        return self.name if self.by is None else f"{self.name}:{_text(tags.get(self.by))}"


@dataclass(frozen=True, slots=True)
class LimitGroup:
    """The tasks of a limit that share a value of its tag, as they stand."""

    limit: str
    """The name of the limit."""
    value: str | None
    """The value of the tag as text; None where the limit has no `by`."""
    running: int
    """How many slots are in use."""
    waiting: int
    """How many tasks are parked until a slot is free."""
    behind: str | None = None
    """With `order="fifo"`: the key of the task that all others wait for, where that is not running."""
    next_at: datetime | None = None
    """With a rate: when the next task may start, at the earliest; None where none has started of late."""


def limit_of(group: str) -> str:
    """The name of the limit that a group belongs to."""
    return group.partition(":")[0]


def group_of_slot(slot: str) -> str:
    """The name of the group that a slot belongs to."""
    return slot.rpartition("/")[0]


def groups_of_slots(slots: Sequence[str]) -> Sequence[str]:
    """The groups that these slots belong to."""
    return [group_of_slot(slot) for slot in slots] if slots else ()


def value_of(group: str) -> str | None:
    """The value of the tag that makes a group, as text."""
    _, colon, value = group.partition(":")
    return value if colon else None


def _text(value: Any) -> str:
    """A value as text, the same whoever reads it: equal numbers are the same, and instants have no zone."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, datetime):
        value = value.replace(tzinfo=None).isoformat()
    text = value if type(value) is str else str(value)
    if len(text) > LONGEST_VALUE:
        return f"{text[:40]}~{hashlib.sha256(text.encode()).hexdigest()[:32]}"
    return text
