"""A small model of what must become of tasks: plain values, no server, written from what the README promises.

It shares the names of the states and events with the product, and nothing that decides. A real queue is compared
with it after every step. What changes many tasks at once, or comes from outside, is in `change_model`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from mongoq.core.lifecycle import LIVE, WAITING, Event, TaskState
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.task import Task
from proving.known_task import Known

LEASE: Final = timedelta(seconds=30)
MAX_RETRIES: Final = 2
STEP: Final = timedelta(seconds=10)
MOST_POISON_WEIGHT: Final = 16

_AFTER: Final = {
    Event.COMPLETE: TaskState.COMPLETED, Event.RETRY: TaskState.SCHEDULED, Event.SNOOZE: TaskState.SCHEDULED,
    Event.FAIL: TaskState.FAILED, Event.RELEASE: TaskState.READY, Event.MOVE: TaskState.READY,
    Event.EXPIRE: TaskState.EXPIRED, Event.CANCEL: TaskState.CANCELLED,
}  # fmt: skip


def error_queue(queue: str) -> str:
    """Where a task of this queue goes that would end as failed, if it goes anywhere."""
    return f"{queue}/err"


class Model:
    """All tasks."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.tasks: dict[str, Known] = {}
        self.has_error_queues = False
        """Whether what would end as failed goes to `<its queue>/err`, unless it came from there."""

    # Producing

    def holders(self, new: NewTask) -> set[str]:
        """The keys of the tasks that have its key, or its `unique` value while they live."""
        taken = {new.key} if new.key in self.tasks else set()
        if new.unique is not None:
            taken |= {t.key for t in self.tasks.values() if t.unique == new.unique and t.state in LIVE}
        return {key for key in taken if key}

    def add(self, new: NewTask, mark: str | None = None) -> None:
        """Make a task."""
        assert new.key is not None
        run_at = self.now + timedelta(seconds=float(new.delay or 0))  # type: ignore[arg-type]
        task = Known(
            new.key, new.queue, TaskState.READY, new.priority, run_at, dict(new.tags), new.unique, new.expires_at
        )
        task.state, task.marks = task.ready_by(self.now), (mark,) if mark else ()
        self.tasks[new.key] = task

    # Claiming

    def ready(self, queue: str) -> list[Known]:
        """What may be claimed, the most urgent first."""
        found = [t for t in self.tasks.values() if t.state is TaskState.READY and t.queue == queue]
        return sorted(found, key=lambda t: (-t.priority, t.run_at, t.key))

    def batch(self, queue: str, limit: int) -> list[str]:
        """What a claim of so many brings. Those found too old end instead; too many suspects make room for others."""
        everything = self.ready(queue)
        head = everything[:limit]
        room, suspects = MOST_POISON_WEIGHT, []
        for task in head:
            weight = 0 if not task.lost_leases else 1 if task.lost_leases < 2 else MOST_POISON_WEIGHT
            if task.lost_leases and weight <= room:
                room -= weight
                suspects.append(task)
        if len(suspects) < sum(task.lost_leases > 0 for task in head):
            others = [task for task in everything if not task.lost_leases][: limit - len(suspects)]
            head = [task for task in everything if task in suspects or task in others]
        for task in head:
            if task.overdue(self.now):
                task.free(TaskState.EXPIRED)
        return [task.key for task in head if task.state is TaskState.READY]

    def first(self, queue: str) -> str | None:
        """What a claim of one brings. One that is too old is taken and ends at once, and so do all that are."""
        head = next(iter(self.ready(queue)), None)
        if head is not None and head.overdue(self.now):
            head.attempts += 1
            head.uncharged += 1
            head.lost_leases = 0
            head.version += 1
            head.free(TaskState.EXPIRED)
            self.expire()
            head = next(iter(self.ready(queue)), None)
        return None if head is None else head.key

    def claimed(self, key: str, token: str) -> None:
        """Held from now on."""
        task = self.tasks[key]
        task.state, task.token, task.lease_until = TaskState.RUNNING, token, self.now + LEASE
        task.attempts += 1
        task.version += 1

    def renew(self, claim: Task) -> bool:
        """Hold longer; whether it was held."""
        task = self.tasks.get(claim.key)
        if task is None or task.token != claim.token:
            return False
        task.lease_until = self.now + LEASE
        return True

    # Ending

    def end(self, claim: Task, event: Event, *, delay: int = 0, to: str = "") -> bool:
        """End an attempt; whether that was accepted."""
        raised = event in (Event.FAIL, Event.RETRY, Event.SNOOZE)
        event = self._decided(claim, event)
        if event is Event.FAIL and self._can_be_set_aside(claim.queue, claim.moved_from):
            event, to = Event.MOVE, error_queue(claim.queue)
        raised = raised and event is not Event.SNOOZE
        task = self.tasks.get(claim.key)
        if task is None or claim.token is None:
            return False
        if task.token != claim.token:
            return task.ended in ((claim.token, event), (claim.token, Event.CANCEL))
        if task.cancel_requested and event is not Event.COMPLETE:
            event = Event.CANCEL
        task.ended = claim.token, event
        task.free(_AFTER[event])
        task.lost_leases = 0
        task.retries += raised
        if event in (Event.RETRY, Event.SNOOZE):
            task.run_at = self.now + timedelta(seconds=delay)
        if event in (Event.SNOOZE, Event.RELEASE):
            task.uncharged += 1
        if event is Event.MOVE:
            task.go(to)
            task.fresh()
        return True

    def _decided(self, claim: Task, event: Event) -> Event:
        """What an ending leads to: it may be too late for it, or the last attempt."""
        if event in (Event.COMPLETE, Event.FAIL, Event.MOVE):
            return event
        if claim.expires_at is not None and claim.expires_at <= self.now:
            return Event.EXPIRE
        exhausted = claim.attempts - claim.uncharged > MAX_RETRIES
        return Event.FAIL if event is Event.RETRY and exhausted else event

    def holds(self, claim: Task) -> bool:
        """Whether its holder may still end it."""
        task = self.tasks.get(claim.key)
        return task is not None and claim.token is not None and task.token == claim.token

    def complete_with(self, claim: Task, new: NewTask, *, commit: bool = True, mark: str | None = None) -> str:
        """End an attempt well and make another task, both or neither; what came of it."""
        if not self.holds(claim):
            return "lost"
        # What is completed makes room for what has the same `unique` value.
        taken = self.holders(new) - ({claim.key} - {new.key})
        if taken and new.on_conflict != "skip":
            return "refused"
        if commit:
            self.end(claim, Event.COMPLETE)
            if not taken:
                self.add(new, mark)
        return "made" if commit else "dropped"

    # Time

    def promote(self) -> None:
        """Make ready what is due."""
        for task in self.tasks.values():
            if task.state is TaskState.SCHEDULED and task.run_at <= self.now:
                task.free(TaskState.READY)

    def expire(self) -> None:
        """End what waits too long."""
        for task in self.tasks.values():
            if task.state in WAITING and task.overdue(self.now):
                task.free(TaskState.EXPIRED)

    def rescue(self) -> None:
        """Take what was lost."""
        for task in self.tasks.values():
            if task.state is TaskState.RUNNING and task.lapsed(self.now):
                self._lost(task)

    def _lost(self, task: Known) -> None:
        if task.cancel_requested or task.overdue(self.now):
            task.free(TaskState.CANCELLED if task.cancel_requested else TaskState.EXPIRED)
            task.lost_leases = 0
            return
        task.lost_leases += 1
        if task.lost_leases <= 2:
            task.free(TaskState.READY)
            task.uncharged += 1
            return
        task.retries += 1
        charged = task.attempts - task.uncharged
        if charged <= MAX_RETRIES and task.lost_leases < 5:
            task.free(TaskState.SCHEDULED)
            task.run_at = self.now + STEP * charged
        elif self._can_be_set_aside(task.queue, task.moved_from):
            task.free(TaskState.READY)
            task.go(error_queue(task.queue))
            task.fresh()
        else:
            task.free(TaskState.FAILED)

    def _can_be_set_aside(self, queue: str, moved_from: str | None) -> bool:
        return self.has_error_queues and (moved_from is None or error_queue(moved_from) != queue)

    def live(self) -> Iterator[Known]:
        """Those that have not finished."""
        return (task for task in self.tasks.values() if task.state in LIVE)
