"""What is paused, as a value, and what a process may claim under it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from mongoq.core.errors import MongoqError
from mongoq.core.tasks.read_only import EMPTY
from mongoq.limiting.limit import Limit

__all__ = ["Pause", "WorkerNotFound"]


class WorkerNotFound(MongoqError, LookupError):
    """No worker process of this name has sent a heartbeat within the last minute."""


class Target(NamedTuple):
    """What a pause is for; without any of these it is for everything."""

    queue: str | None = None
    name: str | None = None
    tag: str | None = None
    value: str | int | None = None

    @property
    def group(self) -> str:
        """By which the parked tasks of a paused name or value are known: no limit has such a name."""
        return f"!{self.tag or ''}:{json.dumps(self.name if self.tag is None else self.value)}"

    @property
    def parks(self) -> bool:
        """Whether claims find tasks of it among others: a name, or a value of a tag."""
        return self.name is not None or self.tag is not None

    def __str__(self) -> str:
        if self.tag is not None:
            return f"tasks with {self.tag}={self.value!r}"
        what = f"queue {self.queue}" if self.queue is not None else f"tasks named {self.name}"
        return "everything" if self.queue is None and self.name is None else what


@dataclass(frozen=True, slots=True)
class Pause:
    """A queue, a name of tasks, a value of a tag, or a whole namespace of which nothing is claimed."""

    queue: str | None
    """The queue that is paused; None where it is not one queue."""
    name: str | None
    """The name of the tasks that are paused. Without a queue, a name and a tag everything is paused."""
    reason: str | None
    """Why, as who paused it said; None: nothing was said."""
    by: str
    """Who paused it."""
    at: datetime
    """Since when, server time."""
    until: datetime | None
    """When it ends by itself; None: when it is resumed."""
    tag: str | None = None
    """The tag whose value is paused; None where it is no value of a tag."""
    value: str | int | None = None
    """The value of this tag."""
    walked_over: bool = False
    """Whether claims read its tasks each time they pass over them, because the namespace lacks the indexes to park
    them: `mongoq init` builds these."""

    @property
    def target(self) -> Target:
        """What it is for."""
        return Target(self.queue, self.name, self.tag, self.value)

    def holds(self, now: datetime) -> bool:
        """Whether it is in force."""
        return self.until is None or now < self.until

    def covers(self, queue: str) -> bool:
        """Whether nothing of this queue is claimed."""
        return self.name is None and self.tag is None and self.queue in (None, queue)

    def tells(self, name: object, tags: object) -> bool:
        """Whether it is for this name, at whatever revision, or for a value that is among these tags."""
        if self.tag is None:
            return self.name is not None and isinstance(name, str) and self.name in (name, name.partition("@")[0])
        found = tags.get(self.tag) if isinstance(tags, Mapping) else None
        return isinstance(found, bool) is isinstance(self.value, bool) and found is not None and found == self.value

    def __str__(self) -> str:
        return str(self.target)


class Open(NamedTuple):
    """What may be claimed of what was asked for."""

    queues: Sequence[str]
    names: Sequence[str]
    without: Sequence[Pause]
    """Pauses of names and values whose tasks are to be left out, because they cannot be parked."""


class Gate:
    """What is paused, as this process knows it. It is replaced as a whole; any thread may read it."""

    def __init__(self) -> None:
        self.pauses: tuple[Pause, ...] = ()
        self.read_at = float("-inf")
        """When it was read, on `elapsed`."""
        self.flow = False
        """Whether tasks have parents or batches in this namespace."""
        self.limits: Mapping[str, Limit] = EMPTY
        """The limits of this namespace, by name."""
        self.limited = False
        """Whether there ever were any, or a paused name or value of a tag: tasks may be parked for them."""
        self.readable = False
        """Whether this process can read what is stored, as the last look showed."""
        self.swept_to = ""
        """The group of a limit that was looked at last by a sweep."""

    def note(
        self,
        pauses: Iterable[Pause],
        read_at: float,
        *,
        flow: bool = False,
        limits: Mapping[str, Limit] = EMPTY,
        limited: bool = False,
        readable: bool = False,
    ) -> None:
        """Take what was read."""
        self.pauses, self.limits, self.read_at, self.readable = tuple(pauses), limits, read_at, readable
        self.flow |= flow
        self.limited |= bool(limits) or limited

    def admit(self, queues: Sequence[str], names: Sequence[str], now: datetime) -> Open | None:
        """What may be claimed of these queues and names; None where nothing may."""
        held = [pause for pause in self.pauses if pause.holds(now)]
        if not held:
            return Open(queues, names, ())
        shut = {pause.name for pause in held if pause.name is not None}
        open_queues = [queue for queue in queues if not any(pause.covers(queue) for pause in held)]
        open_names = [name for name in names if name.partition("@")[0] not in shut and name not in shut]
        if not open_queues or (names and not open_names):
            return None
        apart = () if self.limited else [pause for pause in held if pause.tag or (pause.name and not names)]
        return Open(open_queues, open_names, apart)

    def parking(self, now: datetime) -> list[Pause]:
        """The pauses of names and of values of tags that hold now."""
        return [pause for pause in self.pauses if pause.target.parks and pause.holds(now)]

    def in_force(self, now: datetime) -> frozenset[Pause]:
        """The pauses that hold now."""
        return frozenset(pause for pause in self.pauses if pause.holds(now))

    def next_end(self, now: datetime) -> float:
        """Seconds until the next pause ends by itself; infinite where none does."""
        ends = [pause.until for pause in self.pauses if pause.until is not None and pause.until > now]
        return (min(ends) - now).total_seconds() if ends else float("inf")
