"""The options of a task that has parents or belongs to a batch, checked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from mongoq.core.validation import Checker, shortened

if TYPE_CHECKING:
    from mongoq.core.tasks.new_task import NewTask


class Keyed(Protocol):
    """What has a key: a task, the handle of a call, a batch."""

    @property
    def key(self) -> str | None: ...  # noqa: D102


After: TypeAlias = str | Keyed | Iterable[str | Keyed]
"""Parents: tasks or keys of tasks, one or several."""
BatchLike: TypeAlias = str | Keyed

CANCEL: Final = "cancel"
RUN: Final = "run"
WAIT: Final = "wait"
ON_PARENT_FAILURE: Final = (CANCEL, RUN, WAIT)
MOST_PARENTS: Final = 1_000
LONGEST_KEY: Final = 512
_PARENTS: Final = "tasks, or keys of tasks"


def check_flow(checker: Checker, task: NewTask) -> None:
    """Check `after`, `on_parent_failure` and `batch` of a new task, and set them as they are stored."""
    checker.one_of("on_parent_failure", task.on_parent_failure, ON_PARENT_FAILURE)
    if task.batch is not None:
        key = getattr(task.batch, "key", task.batch)
        checker.text("batch", key, LONGEST_KEY)
        object.__setattr__(task, "batch", key)
    if task.after != ():
        object.__setattr__(task, "after", _checked_parents(checker, task.after, task.key))
    if task.flows and task.merges:
        allowed = "error or skip, for a task with parents or a batch"
        checker.refuse("on_conflict", task.on_conflict, allowed)


def _checked_parents(checker: Checker, after: Any, own: str | None) -> tuple[str, ...]:
    if isinstance(after, str) or hasattr(after, "key"):
        after = (after,)
    if not isinstance(after, Iterable):
        checker.refuse("after", after, _PARENTS)
        return ()
    keys: dict[str, None] = {}
    for place, parent in enumerate(after):
        key = getattr(parent, "key", parent)
        if not isinstance(key, str):
            checker.refuse(f"after[{place}]", parent, "a task with a key, or the key of a task")
            return ()
        checker.text(f"after[{place}]", key, LONGEST_KEY)
        keys[key] = None
    if len(keys) > MOST_PARENTS:
        checker.refuse("after", f"{len(keys):,} tasks", f"at most {MOST_PARENTS:,}; a batch has any number of members")
    if own is not None and own in keys:
        checker.refuse("after", own, "other tasks than itself: a task that waits for itself never runs")
    return tuple(keys)


def cycle_among(parents: dict[str, tuple[str, ...]]) -> list[str]:
    """The keys of tasks that wait for one another in a circle, in that order; empty where there is none.

    `parents` are the tasks of one call, by key. Kahn's order: what is left when no task without a parent among these
    is left lies on a circle, or behind one.
    """
    waiting = {key: {one for one in after if one in parents} for key, after in parents.items()}
    children: dict[str, list[str]] = {}
    for key, after in waiting.items():
        for one in after:
            children.setdefault(one, []).append(key)
    free = [key for key, after in waiting.items() if not after]
    while free:
        key = free.pop()
        for child in children.get(key, ()):
            waiting[child].discard(key)
            if not waiting[child]:
                free.append(child)
    left = {key: after for key, after in waiting.items() if after}
    return _circle(left) if left else []


def _circle(waiting: dict[str, set[str]]) -> list[str]:
    """Follow the parents from any of these tasks until one comes back."""
    path: list[str] = []
    key = next(iter(waiting))
    while key not in path:
        path.append(key)
        key = next(one for one in sorted(waiting[key]) if one in waiting)
    return path[path.index(key) :]


def described(circle: list[str]) -> str:
    """A circle of tasks, for an error."""
    return shortened(" after ".join([*circle, circle[0]]), 300)
