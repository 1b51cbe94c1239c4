"""What operators choose tasks by, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mongoq.core.errors import ConfigurationError
from mongoq.core.lifecycle import TaskState
from mongoq.core.options import LONGEST_CLAIMANT
from mongoq.core.validation import Checker


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks an operator selects."""

    queue: str | None = None
    state: TaskState | None = None
    keys: tuple[str, ...] | None = None
    where: Mapping[str, Any] | None = None
    """Tags that they have, by equality."""
    name: str | None = None
    error: str | None = None
    """The type of the error with which their last attempt failed."""
    since: datetime | None = None
    """By `finished_at` where `state` is a final one, else by `created_at`; so is `until`, which is not included."""
    until: datetime | None = None


def checked_selection(
    *,
    queue: str | None = None,
    state: TaskState | str | None = None,
    keys: Sequence[str] | None = None,
    where: Mapping[str, Any] | None = None,
    claimant: str | None = None,
    limit: int | None = None,
    name: str | None = None,
    error: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> TaskFilter:
    """Check the arguments that select tasks."""
    checker = Checker()
    for field, text in (("queue", queue), ("name", name), ("error", error)):
        if text is not None:
            checker.text(field, text, 512)
    if state is not None:
        checker.one_of("state", state, [known.value for known in TaskState])
    if isinstance(keys, str):
        checker.refuse("keys", keys, "a list of keys")
    if where is not None:
        checker.tags("where", where)
    if claimant is not None:
        checker.text("claimant", claimant, LONGEST_CLAIMANT)
    if limit is not None:
        checker.integer("limit", limit, 1, 10**9)
    begins, ends = (
        None if one is None else checker.instant(field, one) for field, one in (("since", since), ("until", until))
    )
    checker.finish()
    chosen = None if state is None else TaskState(state)
    listed = None if keys is None else tuple(keys)
    return TaskFilter(queue, chosen, listed, dict(where or {}), name, error, begins, ends)


def checked_choice(
    queue: str | None,
    state: TaskState | str | None,
    where: Mapping[str, Any] | None,
    name: str | None = None,
    *,
    error: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> TaskFilter:
    """Check the arguments that select tasks to be changed; raises ConfigurationError when none is given."""
    if not where and all(one is None for one in (queue, state, name, error, since, until)):
        raise ConfigurationError("choose by queue, state, name, where, error, since or until: nothing is given")
    return checked_selection(queue=queue, state=state, where=where, name=name, error=error, since=since, until=until)
