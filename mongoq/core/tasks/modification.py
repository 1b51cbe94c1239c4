"""The atomic change, as a value: insert, change, delete and depend on tasks, all of it or nothing.

Each task is named with the version that was read. If a task has another version by now, or another claimant holds it,
the whole change is refused with a `DependencyError` that lists the conflicts.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from mongoq.core.errors import InvalidTask
from mongoq.core.serial.natural import natural
from mongoq.core.tasks.conflicts import Role
from mongoq.core.tasks.new_task import MOST_TAGS, NewTask
from mongoq.core.validation import MOST_FAULTS, QUEUE_NAME, UNSET, Checker, Duration, Unset

if TYPE_CHECKING:
    from mongoq.core.tasks.task import Task

__all__ = ["Change", "Modification", "Modified", "TaskRef"]

MOST_TASKS: Final = 1_000
CHANGEABLE: Final = ("queue", "delay", "run_at", "priority", "tags", "payload", "expires_at")


@dataclass(frozen=True, slots=True)
class TaskRef:
    """A task at the version that was read: `task.ref`."""

    key: str
    """The task."""
    version: int
    """Grows with every change; renewals, cancel requests and dependencies do not count."""
    token: str | None = field(default=None, repr=False)
    """The token of the claim, or None: it permits the holder to change the task."""


@dataclass(frozen=True, slots=True)
class Change:
    """New values for one task; values that are not given stay. Made by `task.as_change(...)`."""

    ref: TaskRef
    """The task, at the version that was read."""
    queue: str | Unset = UNSET
    """Its new queue; if the caller holds it, it is released, uncharged."""
    delay: Duration | Unset = UNSET
    """Run it no sooner than this from now; it is released likewise. Or"""
    run_at: datetime | Unset = UNSET
    """no sooner than this instant, with a time zone."""
    priority: int | Unset = UNSET
    """Its new priority."""
    tags: Any = UNSET
    """Its new tags, in place of all it has."""
    payload: Any = UNSET
    """Its new payload; None removes it."""
    expires_at: datetime | Unset | None = UNSET
    """When it expires; None: never."""

    def __post_init__(self) -> None:
        checker = Checker(InvalidTask)
        if not isinstance(self.ref, TaskRef):
            checker.refuse("ref", self.ref, "a TaskRef, such as task.ref")
        if self.queue is not UNSET:
            checker.matching("queue", self.queue, QUEUE_NAME)
        if self.priority is not UNSET:
            checker.priority("priority", self.priority)
        self._check_values(checker)
        self._check_times(checker)
        checker.finish()
        for name in ("tags", "payload"):
            if (given := getattr(self, name)) is not UNSET:
                object.__setattr__(self, name, natural(given))

    @property
    def given(self) -> dict[str, Any]:
        """The values given, by name."""
        return {name: value for name in CHANGEABLE if (value := getattr(self, name)) is not UNSET}

    @property
    def arrives(self) -> bool:
        """Whether it sets a queue or a time: the task then waits anew, and its holder gives it up."""
        return not (self.queue is UNSET and self.delay is UNSET and self.run_at is UNSET)

    @property
    def grows(self) -> bool:
        """Whether it may make the task exceed the size limit."""
        return not (self.tags is UNSET and self.payload is UNSET)

    def _check_values(self, checker: Checker) -> None:
        if self.tags is not UNSET:
            checker.tags("tags", self.tags)
            if hasattr(self.tags, "__len__") and len(self.tags) > MOST_TAGS:
                checker.refuse("tags", f"{len(self.tags)} tags", f"at most {MOST_TAGS} tags")
        if self.payload is not UNSET and self.payload is not None:
            checker.value("payload", self.payload)

    def _check_times(self, checker: Checker) -> None:
        if self.delay is not UNSET:
            checker.duration("delay", self.delay)
            if self.run_at is not UNSET:
                checker.refuse("delay", self.delay, "allowed together with run_at: give one of them")
        for name, instant in (("run_at", self.run_at), ("expires_at", self.expires_at)):
            if instant is not UNSET and not (instant is None and name == "expires_at"):
                object.__setattr__(self, name, checker.instant(name, instant))


@dataclass(frozen=True, slots=True)
class Modification:
    """Insertions, changes, deletions and dependencies that take effect together, or not at all.

    It names at most 1,000 tasks, each once. `delete` and `depend` take tasks or their refs. `+` merges two. It is
    checked when it is made: `InvalidTask` lists every fault before anything is sent.
    """

    insert: Iterable[NewTask] = ()
    """Tasks to enqueue. One with `on_conflict="skip"` is left out when its key or `unique` value is taken."""
    change: Iterable[Change] = ()
    """New values for tasks that wait, or that the caller holds: `task.as_change(...)`."""
    delete: Iterable[TaskRef | Task] = ()
    """Tasks to delete: those that are not held by another."""
    depend: Iterable[TaskRef | Task] = ()
    """Tasks that must have the version that was read, until the change has been made."""
    id: str = field(default_factory=lambda: secrets.token_hex(8), compare=False, repr=False)
    """Identifies the change, so that it takes effect once when it is repeated after a lost reply."""

    def __post_init__(self) -> None:
        checker = Checker(InvalidTask)
        insert = _checked(checker, "insert", self.insert, NewTask, "a NewTask")
        for place, new in enumerate(insert):
            if new.merges:
                checker.refuse(f"insert[{place}].on_conflict", new.on_conflict, "error or skip, in an atomic change")
        change = _checked(checker, "change", self.change, Change, "a change, such as task.as_change(queue=...)")
        delete = _checked(checker, "delete", self.delete, TaskRef, "a task or its ref")
        depend = _checked(checker, "depend", self.depend, TaskRef, "a task or its ref")
        checker.finish()
        for name, items in (("insert", insert), ("change", change), ("delete", delete), ("depend", depend)):
            object.__setattr__(self, name, items)
        self._check_names(checker)
        checker.finish()

    @classmethod
    def of(
        cls,
        whole: Modification | None,
        insert: Iterable[NewTask],
        change: Iterable[Change],
        delete: Iterable[TaskRef | Task],
        depend: Iterable[TaskRef | Task],
    ) -> Modification:
        """Add these parts to `whole`; without parts return `whole` itself, with its `id`."""
        parts = cls(insert, change, delete, depend)
        if whole is None:
            return parts
        if not isinstance(whole, cls):
            checker = Checker(InvalidTask)
            checker.refuse("modification", whole, "a Modification; its parts are named: insert=, change=, ...")
            checker.finish()
        return whole + parts if len(parts) else whole

    def __add__(self, other: Modification) -> Modification:
        """Merge both into one change; raises InvalidTask when both name the same task."""
        if not isinstance(other, Modification):
            return NotImplemented
        return Modification(
            (*self.insert, *other.insert),
            (*self.change, *other.change),
            (*self.delete, *other.delete),
            (*self.depend, *other.depend),
        )

    def __len__(self) -> int:
        return len([*self.insert, *self.change, *self.delete, *self.depend])

    @property
    def named(self) -> Iterator[tuple[Role, TaskRef]]:
        """The tasks that must exist, and what happens to each."""
        yield from ((Role.CHANGE, change.ref) for change in self.change)
        # __post_init__ has replaced tasks by their refs.
        yield from ((Role.DELETE, ref) for ref in self.delete if isinstance(ref, TaskRef))
        yield from ((Role.DEPEND, ref) for ref in self.depend if isinstance(ref, TaskRef))

    @property
    def given_up(self) -> list[TaskRef]:
        """The tasks whose holders give them up by this change."""
        deleted = [ref for ref in self.delete if isinstance(ref, TaskRef)]
        return [*deleted, *(change.ref for change in self.change if change.arrives)]

    def _check_names(self, checker: Checker) -> None:
        if len(self) > MOST_TASKS:
            checker.refuse("modification", f"{len(self)} tasks", f"at most {MOST_TASKS:,} tasks")
        seen: dict[str, Role] = {}
        inserted = ((Role.INSERT, new.key) for new in self.insert if new.key is not None)
        for role, key in [*inserted, *((role, ref.key) for role, ref in self.named)]:
            if key in seen and len(checker.faults) < MOST_FAULTS:
                checker.refuse(role, key, f"named once: it is in {seen[key]} already")
            seen[key] = role
        unique: set[str] = set()
        for new in self.insert:
            if new.unique in unique:
                checker.refuse("insert", new.unique, "the `unique` value of one task only")
            elif new.unique is not None:
                unique.add(new.unique)


@dataclass(frozen=True, slots=True)
class Modified:
    """The result of a modification."""

    inserted: tuple[Task, ...] = ()
    """The tasks enqueued, in the order given, without those that were left out."""
    changed: tuple[Task, ...] = ()
    """The tasks changed, in the order given, with their new versions; claims of yours still hold."""


def _checked(checker: Checker, name: str, items: Any, kind: type, allowed: str) -> tuple[Any, ...]:
    if isinstance(items, str | bytes | TaskRef | Change | NewTask) or not isinstance(items, Iterable):
        checker.refuse(name, items, f"a list, each item {allowed}")
        return ()
    found = []
    for place, item in enumerate(items):
        known = getattr(item, "ref", item) if kind is TaskRef and not isinstance(item, Change) else item
        if isinstance(known, kind):
            found.append(known)
        elif len(checker.faults) < MOST_FAULTS:
            checker.refuse(f"{name}[{place}]", item, allowed)
    return tuple(found)
