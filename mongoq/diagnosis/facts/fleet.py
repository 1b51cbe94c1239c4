"""What is read of the fleet and of the tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mongoq.core.stats import QueueStats, WorkerInfo
from mongoq.core.tasks.task import Task
from mongoq.limiting.limit import Limit, LimitGroup
from mongoq.pausing.pause import Pause
from mongoq.scheduling.schedule import Schedule


@dataclass(frozen=True, slots=True)
class Fleet:
    """The queues, the workers and the pauses at one moment."""

    at: datetime
    """Server time."""
    queues: Mapping[str, QueueStats]
    workers: Sequence[WorkerInfo] = ()
    pauses: Sequence[Pause] = ()
    lag: timedelta = timedelta(minutes=1)
    """How long a task may be due before somebody should know."""
    unknown: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By queue: names of ready tasks that no worker takes, the most frequent first, where somebody looked for them."""
    sampled: bool = False
    """Whether the figures of the queues are the least that they can be: nobody has counted so many tasks."""

    @property
    def live(self) -> list[WorkerInfo]:
        """The workers that are not silent."""
        return [one for one in self.workers if not one.is_silent(self.at)]


@dataclass(frozen=True, slots=True)
class Schedules:
    """The schedules at one moment."""

    at: datetime
    """Server time."""
    schedules: Sequence[Schedule] = ()


@dataclass(frozen=True, slots=True)
class Failures:
    """The newest tasks that failed within the last hour."""

    tasks: Sequence[Task]
    more: bool = False
    """Whether there are more than were read."""


@dataclass(frozen=True, slots=True)
class Line:
    """A strict line of a limit that halts, and the task at its head."""

    group: LimitGroup
    key: str
    state: str
    error: str | None = None
    """The type of its last error."""
    due: datetime | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits and their groups."""

    limits: Sequence[Limit] = ()
    unreadable: Sequence[str] = ()
    """Limits that are stored with what no limit can have, such as a concurrency of 0: they are not in force."""
    groups: Sequence[LimitGroup] = ()
    lines: Sequence[Line] = ()
    held: Mapping[str, str] = field(default_factory=dict)
    """By key of a task whose lease is over: a slot that it still has."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """What the sweeps of any living worker would have done by now."""

    lost: Sequence[str] = ()
    """Keys of running tasks whose lease is over, the oldest first."""
    lost_for: timedelta = timedelta(0)
    due_for: timedelta | None = None
    """How long the oldest scheduled task has been due; None: none is."""
    due_queue: str = ""
    expired_for: timedelta | None = None
    unpurged: int = 0
    """Finished tasks whose time to be removed has passed long ago, up to the most that are counted."""
    unpurged_for: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds running tasks whose leases last for minutes still."""

    name: str
    tasks: int
    until: datetime
    """When the last of these leases ends."""


@dataclass(frozen=True, slots=True)
class Holders:
    """The holders of a sample of the running tasks with long leases."""

    holders: Sequence[Holder] = ()


@dataclass(frozen=True, slots=True)
class Waiting:
    """A parked task, and why nothing will let it go."""

    key: str
    why: str
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class Parked:
    """Parked tasks of a sample that wait for what will not come by itself."""

    looked_at: int = 0
    failed_parent: Sequence[Waiting] = ()
    """Those that wait for a parent that has failed, until somebody runs it again."""
    stale: Sequence[Waiting] = ()
    """Those that wait for nothing that lives."""
