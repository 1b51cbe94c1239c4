"""What is enqueued when a task ends, however it ends: `on_complete=` of a task.

It travels with the task as a part of its policy, so whoever ends the task can enqueue it: a worker, a sweep that
expires it or gives it up, an operator who cancels it. Its payload tells the end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mongoq.core.validation import MOST_FAULTS, QUEUE_NAME, Checker

if TYPE_CHECKING:
    from mongoq.core.lifecycle import TaskState
    from mongoq.core.tasks.attempt import Failure, TaskError
    from mongoq.core.tasks.task import Task

__all__ = ["Ending", "FollowUp", "checked_follow_up"]

GIVEN: Final = ("queue", "name", "priority", "tags")
"""The options that it may have; the others are said by the end of its task."""
LONGEST_KEY: Final = 400
"""Characters of a task's key in that of its follow-up."""
ALLOWED: Final = "a task function, its call, or a NewTask with queue, name, priority and tags alone"


@dataclass(frozen=True, slots=True)
class FollowUp:
    """The task to enqueue when another one has ended."""

    queue: str
    name: str | None
    priority: int
    tags: Mapping[str, Any]

    def as_spec(self) -> dict[str, Any]:
        """It as plain values."""
        values = {"queue": self.queue, "name": self.name, "priority": self.priority, "tags": dict(self.tags)}
        return {name: value for name, value in values.items() if value is not None}

    @staticmethod
    def key_after(task: Task) -> str:
        """The key of what follows this end of a task: of one that is run again, another end has another."""
        key = task.key
        if len(key) > LONGEST_KEY:
            key = f"{key[:LONGEST_KEY]}:{hashlib.sha256(key.encode()).hexdigest()[:16]}"
        return f"{key}:ended:{task.version}"


class Ending(NamedTuple):
    """How a task has ended."""

    state: TaskState
    result: Any = None
    error: TaskError | None = None
    failure: Failure | None = None
    note: str | None = None

    def told(self, task: Task) -> dict[str, Any]:
        """The payload of what follows the task."""
        error, failure = self.error, self.failure
        return {
            "key": task.key, "queue": task.queue, "name": task.name, "state": self.state.value, "result": self.result,
            "error": None if error is None else {"type": error.type, "message": error.message},
            "failure": None if failure is None else failure.value, "note": self.note, "attempt": task.attempts,
        }  # fmt: skip


def checked_follow_up(checker: Checker, field: str, given: Any) -> FollowUp | None:
    """Check what is to follow a task: a NewTask, or what is stored of one."""
    from mongoq.core.tasks.new_task import STORED_NAME, NewTask  # noqa: PLC0415 -- this is a part of its policy

    if isinstance(given, FollowUp):
        return given
    if hasattr(given, "definition"):  # a task function
        given = given.call()
    before = len(checker.faults)
    if isinstance(given, Mapping):
        values = {"queue": "default", "name": None, "priority": 0, "tags": {}, **given}
    elif isinstance(given, NewTask):
        _check_options(checker, field, given)
        values = {name: getattr(given, name) for name in GIVEN}
    else:
        checker.refuse(field, given, ALLOWED)
        return None
    checker.matching(f"{field}.queue", values["queue"], QUEUE_NAME)
    if values["name"] is not None:
        checker.matching(f"{field}.name", values["name"], STORED_NAME)
    checker.priority(f"{field}.priority", values["priority"])
    checker.tags(f"{field}.tags", values["tags"])
    if len(checker.faults) > before:
        return None
    return FollowUp(values["queue"], values["name"], values["priority"], values["tags"])


def _check_options(checker: Checker, field: str, new: Any) -> None:
    allowed = {"tags", "carried", "like", *GIVEN}
    plain = type(new)()
    for name in type(new).__dataclass_fields__:
        if name not in allowed and getattr(new, name) != getattr(plain, name) and len(checker.faults) < MOST_FAULTS:
            checker.refuse(f"{field}.{name}", getattr(new, name), f"left out: it is {ALLOWED}")
