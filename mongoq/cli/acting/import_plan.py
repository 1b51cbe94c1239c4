"""What an import will do, decided before anything is written: which tasks, in which order, after which parents. Pure.

A first pass over the lines notes what the second one needs: the tasks that others wait for, those that wait, and the
limits. Parents are enqueued before their children, since a parent that is not there counts as failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final, NamedTuple

from mongoq import InvalidTask, Limit, Task, TaskState
from mongoq.core.lifecycle import LIVE
from mongoq.core.validation import shortened


class Waiter(NamedTuple):
    """A task that runs after others."""

    number: int
    """Its line."""
    offset: int
    """Where that line begins, in bytes."""
    parents: tuple[str, ...]
    parked: bool
    """Whether it still waited for one of them."""
    runs_anyway: bool
    """Whether it runs when a parent does not complete."""


class Survey:
    """What the lines of an export say, as far as their order, their parents and their limits go."""

    def __init__(self, *, finished: bool, without_batches: bool) -> None:
        self._finished: Final = finished
        self._without_batches: Final = without_batches
        self.read = self.ended = self.left_out = 0
        self.batched: list[int] = []
        """The lines of members of batches, and of batches that have not called back."""
        self.limits: dict[str, Mapping[str, Any]] = {}
        """The limits that are in the export, by name, as the arguments of `queue.limit`."""
        self.needed: dict[str, int] = {}
        """The limits that tasks are under, each with the line of the first."""
        self.taken: set[str] = set()
        """The tasks to be imported that others run after."""
        self.states: dict[str, TaskState] = {}
        """The states of all tasks that others run after."""
        self.waiters: dict[str, Waiter] = {}

    def takes(self, task: Task) -> bool:
        """Whether a task is to be imported."""
        return (task.state in LIVE or self._finished) and not (self._without_batches and of_batch(task))

    def note(self, number: int, offset: int, task: Task) -> None:
        """Take note of the task of a line."""
        self.read += 1
        if task.children:
            self.states[task.key] = task.state
        if not self.takes(task):
            self.ended += task.state not in LIVE and not self._finished
            self.left_out += task.state in LIVE or self._finished
            return
        if of_batch(task):
            self.batched.append(number)
        if task.children:
            self.taken.add(task.key)
        if task.parents:
            parked, anyway = task.state is TaskState.PARKED, task.on_parent_failure == "run"
            self.waiters[task.key] = Waiter(number, offset, task.parents, parked, anyway)
        for name in task.limits:
            self.needed.setdefault(name, number)

    @property
    def elsewhere(self) -> list[str]:
        """The parents that are not imported."""
        return list({key: None for one in self.waiters.values() for key in one.parents if key not in self.taken})


def of_batch(task: Task) -> bool:
    """Whether it is a member of a batch, or a batch that has not called back: that is parked, and waits for nothing."""
    waits = bool(task.parents) or task.waits_for is not None
    return task.batch is not None or (task.state is TaskState.PARKED and not waits)


def check_batches(survey: Survey) -> None:
    """InvalidTask where tasks of batches would be imported: the counts of those that had ended are not in the lines."""
    if survey.batched:
        raise InvalidTask(
            f"line {survey.batched[0]}: a batch that has not called back, or a member of one, of which there are "
            f"{len(survey.batched):,}: let them end before the export, or leave them out by --without-batches"
        )


def missing_limits(survey: Survey, there: Mapping[str, Limit]) -> list[Mapping[str, Any]]:
    """The limits to be made, as arguments of `queue.limit`; InvalidTask where one is nowhere, or is another here."""
    for name, number in survey.needed.items():
        if name not in there and name not in survey.limits:
            raise InvalidTask(f"line {number}: the limit {name} is neither in the export nor in this namespace")
        if name in there and name in survey.limits:
            by, order, ours = survey.limits[name].get("by"), survey.limits[name].get("order"), there[name]
            if (by, order) != (ours.by, ours.order):
                raise InvalidTask(
                    f"line {number}: the limit {name} is by {ours.by or 'no tag'} and of order {ours.order} in this "
                    f"namespace, and by {by or 'no tag'} and of order {order} in the export"
                )
    return [survey.limits[name] for name in survey.needed if name not in there]


def families(survey: Survey, there: frozenset[str], *, without_parents: bool) -> dict[str, tuple[str, ...]]:
    """The parents that each task is to run after; InvalidTask where it would run without one, or for ever wait.

    `there` are those parents that are not imported and that this namespace has.
    """
    after: dict[str, tuple[str, ...]] = {}
    lost: list[str] = []
    for key, one in survey.waiters.items():
        known = tuple(parent for parent in one.parents if parent in survey.taken or parent in there)
        absent = [parent for parent in one.parents if parent not in known]
        for parent in absent:
            _check_over(survey, key, one, parent)
        if absent:
            lost.append(f"line {one.number}: the task {shortened(key)} runs after {shortened(absent[0])}")
        after[key] = known
    if lost and not without_parents:
        raise InvalidTask(
            f"{lost[0]}, which had ended: its result does not come along ({len(lost):,} such tasks); "
            "--without-parents lets them run all the same"
        )
    return after


def in_order(after: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """The keys of tasks that run after others, each behind those that it waits for; InvalidTask for a circle."""
    among = {key: [parent for parent in parents if parent in after] for key, parents in after.items()}
    try:
        yield from TopologicalSorter(among).static_order()
    except CycleError as error:
        circle = shortened(" after ".join(reversed(error.args[1])), 300)
        raise InvalidTask(f"tasks of the export wait for one another: {circle}") from None


def _check_over(survey: Survey, key: str, one: Waiter, parent: str) -> None:
    """InvalidTask where the end of this parent, which is not imported, would have to be waited for."""
    state = survey.states.get(parent)
    over = state is not None and state not in LIVE
    if not one.parked or state is TaskState.COMPLETED or (over and one.runs_anyway):
        return
    why = "is not in the export" if state is None else "is left out"
    if over:
        why = f"{'was' if state is not TaskState.FAILED else 'has'} {state}: --finished takes it along, to run again"
    raise InvalidTask(f"line {one.number}: the task {shortened(key)} runs after {shortened(parent)}, which {why}")
