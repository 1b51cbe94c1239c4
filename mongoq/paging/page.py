"""A page of tasks, and the place where the next one begins."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from mongoq.core.lifecycle import TaskState
from mongoq.core.tasks.task import Task

__all__ = ["TaskPage"]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class TaskPage:
    """A page of tasks, as `queue.page` reads it."""

    tasks: tuple[Task, ...]
    """The tasks of the page, in its order."""
    after: str | None
    """Where the next page begins: give it as `after=`. None: this is the last."""
    searched: int | None
    """How many tasks were looked at because no index knows what was asked for; None: only those that are shown."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which tasks are wanted, checked."""

    queue: str | None = None
    state: TaskState | None = None
    name: str | None = None
    where: Any = None
    error: str | None = None
    prefix: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 50
    named: bool = True
    """Whether there is an index of the names of ready tasks, as far as is known."""


class Place(NamedTuple):
    """A place in the order of an index."""

    walk: int
    """Which of the walks of a page it lies in."""
    values: Sequence[Any]
    """The fields of the order there."""
    passed: int
    """How many tasks with just these values lie before it."""


def written(place: Place) -> str:
    """The text of a place."""
    plain = [{"ms": (one - EPOCH) // MILLISECOND} if isinstance(one, datetime) else one for one in place.values]
    text = json.dumps([place.walk, plain, place.passed], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def place_from(text: str) -> Place:
    """The place that was written; ValueError where it is none."""
    try:
        walk, values, passed = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        values = [EPOCH + one["ms"] * MILLISECOND if isinstance(one, dict) else one for one in values]
    except (binascii.Error, ValueError, KeyError, TypeError, OverflowError) as error:
        raise ValueError("not a place") from error
    known = all(isinstance(one, str | int | float | datetime) for one in values)
    if not (
        isinstance(walk, int) and isinstance(passed, int) and 0 <= walk <= len(TaskState) and passed >= 0 and known
    ):
        raise ValueError("not a place")
    return Place(walk, values, passed)
