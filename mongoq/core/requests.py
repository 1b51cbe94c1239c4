"""The arguments of claims by hand and of operators, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from mongoq.core.errors import ConfigurationError
from mongoq.core.judging.policy import SHORTEST_LEASE
from mongoq.core.options import LONGEST_CLAIMANT, checked_queues
from mongoq.core.serial.natural import natural
from mongoq.core.tasks.task import Task
from mongoq.core.validation import QUEUE_NAME, UNSET, Checker, Duration, Unset

MOST_CLAIMED: Final = 100
"""Queues that one claim may name; each is a scan of an index."""
MOST_SERVED: Final = 10_000
"""Queues that one worker may serve."""
MOST_SCANS: Final = 200
"""Queues times names of one find: `internalQueryMaxScansToExplode` of the server, beyond which it sorts in memory."""


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """What a claim asks for."""

    queues: tuple[str, ...]
    claimant: str
    limit: int = 1
    lease: timedelta | None = None
    """None: the task's own."""
    where: Mapping[str, Any] = field(default_factory=dict)
    """Tags that a task must have, by equality."""
    names: tuple[str, ...] = ()
    """The names that a task may have; without any, all tasks are meant, named or not."""
    least: int | None = None
    """The least priority that a task may have; None: any."""
    ahead: float = 0.0
    """For how many seconds to take starts of rate limits ahead; 0: what is claimed may start at once."""
    lead: float = 0.0
    """Seconds until what is claimed can start: no start of a rate limit is taken that comes sooner."""
    in_turn: int = 1
    """How many tasks may share a slot of a limit: they run one after the other."""
    at_once: int = 0
    """How many slots of scarce limits to take for such tasks; 0: any number."""
    handlers: int = 0
    """How many such tasks run at once: so many slots to take of a limit that has plenty; 0: any number."""
    due_by: datetime | None = None
    """Only what was due then and was not claimed since; None: whatever is ready."""

    @property
    def parts(self) -> list[tuple[str, ...]]:
        """The names by which each find may ask: the server merges at most 200 scans of an index without a sort."""
        most = max(1, MOST_SCANS // len(self.queues))
        return [self.names[place : place + most] for place in range(0, max(1, len(self.names)), most)]


@dataclass(frozen=True, slots=True)
class Adjustment:
    """New values for a waiting task; what is not given stays."""

    priority: int | None = None
    delay: Duration | None = None
    run_at: datetime | None = None
    expires_at: datetime | Unset | None = UNSET
    """None removes it."""
    tags: Mapping[str, Any] | None = None
    """These are set, and the others stay; None as the value of one removes it."""
    payload: Any = UNSET
    """None removes it."""
    if_version: int | None = None
    """The version that the task must have."""


def checked_claim(
    queues: str | Sequence[str],
    lease: Duration | None,
    claimant: str,
    where: Mapping[str, Any] | None,
    limit: int = 1,
    *,
    task_names: Sequence[str] = (),
    most: int = MOST_CLAIMED,
) -> ClaimRequest:
    """Check the arguments of a claim; raises ConfigurationError with every fault."""
    checker = Checker()
    names = checked_queues(checker, queues, most)
    length = checked_lease(checker, lease)
    checker.text("claimant", claimant, LONGEST_CLAIMANT)
    if where is not None:
        checker.tags("where", where)
    checker.integer("limit", limit, 1, 1_000)
    checker.finish()
    return ClaimRequest(names, claimant, limit, length, dict(where or {}), tuple(task_names))


def checked_lease(checker: Checker, lease: Duration | None) -> timedelta | None:
    """Check the length of a lease; None: the task's own."""
    if lease is None:
        return None
    length = checker.duration("lease", lease, positive=True)
    if length is not None and length < SHORTEST_LEASE:
        checker.refuse("lease", lease, "at least 1 second")
    return length


def checked_task(task: Any) -> Task:
    """Check that this is a task."""
    checker = Checker()
    if not isinstance(task, Task):
        checker.refuse("task", task, "a task that was claimed")
    checker.finish()
    return task  # type: ignore[no-any-return]


def checked_tasks(tasks: Task | Iterable[Task]) -> list[Task]:
    """Check one task or several, and return a list."""
    checker = Checker()
    found = [tasks] if isinstance(tasks, Task) else list(tasks) if _is_iterable(tasks) else []
    wrong = [one for one in found if not isinstance(one, Task)]
    if wrong or (not found and not _is_iterable(tasks)):
        checker.refuse("tasks", wrong[0] if wrong else tasks, "a task that was claimed, or several")
    checker.finish()
    return found


def checked_seconds(name: str, duration: Duration | None) -> float:
    """Check a duration, and return its seconds; None is infinite."""
    if duration.__class__ is int and not duration:
        return 0.0  # the usual one: to check it took 3 of the 31 µs of `new`
    checker = Checker()
    checked = None if duration is None else checker.duration(name, duration)
    checker.finish()
    return float("inf") if checked is None else checked.total_seconds()


def checked_key(key: Any) -> str:
    """Check the key of a task: any string, as other programs choose keys too."""
    checker = Checker()
    if not isinstance(key, str):
        checker.refuse("key", key, "the key of a task, a string")
    checker.finish()
    return str(key)


def checked_claimant(claimant: str | None, own: str, *, mine: bool) -> str | None:
    """Choose the claimant whose tasks are meant; None: any."""
    if mine and claimant is not None:
        raise ConfigurationError("give mine or claimant, not both: `mine` is this object's own claimant")
    return own if mine else claimant


def checked_adjustment(key: str, change: Adjustment) -> Adjustment:
    """Check the new values of a waiting task, and return them in the form that mongoq uses."""
    checker = Checker()
    checker.text("key", key, 512)
    if change == Adjustment(if_version=change.if_version):
        allowed = "all that is given: give priority, delay, run_at, expires_at, tags or payload"
        checker.refuse("priority", change.priority, allowed)
    if change.priority is not None:
        checker.priority("priority", change.priority)
    if change.delay is not None and change.run_at is not None:
        checker.refuse("delay", change.delay, "allowed together with run_at: give one of them")
    if change.tags is not None:
        checker.tags("tags", change.tags)
    if change.payload is not UNSET:
        checker.value("payload", change.payload)
    if change.if_version is not None:
        checker.integer("if_version", change.if_version, 0, 2**63 - 1)
    delay = None if change.delay is None else checker.duration("delay", change.delay)
    run_at = None if change.run_at is None else checker.instant("run_at", change.run_at)
    expiry = change.expires_at
    expires_at = expiry if expiry is None or expiry is UNSET else checker.instant("expires_at", expiry)
    checker.finish()
    tags, payload = natural(change.tags), UNSET if change.payload is UNSET else natural(change.payload)
    return replace(change, delay=delay, run_at=run_at, expires_at=expires_at, tags=tags, payload=payload)


def checked_listener(on_progress: Any) -> None:
    """Check what is to hear of the progress of long work."""
    checker = Checker()
    if on_progress is not None and not callable(on_progress):
        checker.refuse("on_progress", on_progress, "a function that takes a mongoq.Progress")
    checker.finish()


def checked_target(queue: Any) -> None:
    """Check the name of the queue to move to."""
    checker = Checker()
    checker.matching("to", queue, QUEUE_NAME)
    checker.finish()


def checked_names(
    queues: str | Sequence[str] | None, prefix: str | None = None, limit: int | None = None
) -> tuple[str, ...] | None:
    """Check names of queues (None: all), `prefix` and `limit`, and return the names."""
    checker = Checker()
    names = None if queues is None else checked_queues(checker, queues)
    if prefix is not None:
        checker.text("prefix", prefix, 128)
    if limit is not None:
        checker.integer("limit", limit, 1, 10**9)
    checker.finish()
    return names


def check_alone(key: str, **others: Any) -> None:
    """Check the key of a claim, and refuse arguments that choose or wait beside it."""
    checker = Checker()
    checker.text("key", key, 512)
    for name, value in others.items():
        if value is not None:
            checker.refuse(name, value, "allowed together with key, which names the task and does not wait")
    checker.finish()


def _is_iterable(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
