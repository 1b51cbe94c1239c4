"""A small model of what must become of tasks: plain values, no server, written from what the README promises.

It shares the names of the states and events with the product, and nothing that decides. A real queue is compared
with it after every step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from mongoq.lifecycle import FINISHED, LIVE, WAITING, Event, TaskState
from mongoq.model import Task
from mongoq.modification import Modification, TaskRef
from mongoq.new_task import NewTask

LEASE: Final = timedelta(seconds=30)
MAX_RETRIES: Final = 2
STEP: Final = timedelta(seconds=10)
GRACE: Final = timedelta(seconds=1)
"""How long beyond a lease its holder is left alone."""
MOST_SUSPICION: Final = 16

_AFTER: Final = {
    Event.COMPLETE: TaskState.COMPLETED, Event.RETRY: TaskState.SCHEDULED, Event.SNOOZE: TaskState.SCHEDULED,
    Event.FAIL: TaskState.FAILED, Event.RELEASE: TaskState.READY, Event.MOVE: TaskState.READY,
    Event.EXPIRE: TaskState.EXPIRED, Event.CANCEL: TaskState.CANCELLED,
}  # fmt: skip


@dataclass
class Known:
    """One task, as it must be."""

    key: str
    queue: str
    state: TaskState
    priority: int
    run_at: datetime
    tags: dict[str, Any]
    unique: str | None = None
    expires_at: datetime | None = None
    attempts: int = 0
    uncharged: int = 0
    retries: int = 0
    suspect: int = 0
    version: int = 1
    token: str | None = None
    lease_until: datetime | None = None
    cancel_requested: bool = False
    moved_from: str | None = None
    ended: tuple[str, Event] | None = field(default=None, metadata={"hidden": True})
    """Whose ending was accepted last, and as what: repeated, it is accepted again."""
    mark: str | None = None
    """The modification that wrote it last."""

    def shown(self) -> dict[str, Any]:
        """What can be compared with a real task."""
        return {name: value for name, value in asdict(self).items() if name not in ("ended", "mark")}

    def lapsed(self, now: datetime) -> bool:
        """Whether its holder did not renew, and more than a moment ago."""
        return self.lease_until is not None and self.lease_until <= now - GRACE

    def overdue(self, now: datetime) -> bool:
        """Whether it should have been completed by now."""
        return self.expires_at is not None and self.expires_at <= now

    def free(self, state: TaskState) -> None:
        """Nobody's any more."""
        self.state, self.token, self.lease_until = state, None, None
        self.version += 1

    def ready_by(self, now: datetime) -> TaskState:
        """Where it stands while it waits."""
        return TaskState.READY if self.run_at <= now else TaskState.SCHEDULED


class Model:
    """All tasks."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.tasks: dict[str, Known] = {}

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
        task.state, task.mark = task.ready_by(self.now), mark
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
        room, suspects = MOST_SUSPICION, []
        for task in head:
            weight = 0 if not task.suspect else 1 if task.suspect < 2 else MOST_SUSPICION
            if task.suspect and weight <= room:
                room -= weight
                suspects.append(task)
        if len(suspects) < sum(task.suspect > 0 for task in head):
            others = [task for task in everything if not task.suspect][: limit - len(suspects)]
            head = [task for task in everything if task in suspects or task in others]
        for task in head:
            if task.overdue(self.now):
                task.free(TaskState.EXPIRED)
        return [task.key for task in head if task.state is TaskState.READY]

    def first(self, queue: str) -> str | None:
        """What a claim of one brings. One that is too old is taken and ends at once, and so do all that are."""
        for task in self.ready(queue):
            if not task.overdue(self.now):
                return task.key
            task.attempts += 1
            task.uncharged += 1
            task.suspect = 0
            task.version += 1
            task.free(TaskState.EXPIRED)
            self.expire()
        return None

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
        raised = event not in (Event.COMPLETE, Event.RELEASE, Event.MOVE)
        if event not in (Event.COMPLETE, Event.FAIL, Event.MOVE):
            if claim.expires_at is not None and claim.expires_at <= self.now:
                event = Event.EXPIRE
            elif event is Event.RETRY and claim.attempts - claim.uncharged > MAX_RETRIES:
                event = Event.FAIL
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
        task.suspect = 0
        task.retries += raised
        if event in (Event.RETRY, Event.SNOOZE):
            task.run_at = self.now + timedelta(seconds=delay)
        if event in (Event.SNOOZE, Event.RELEASE):
            task.uncharged += 1
        if event is Event.MOVE:
            task.queue, task.moved_from, task.uncharged = to, task.queue, task.attempts
        return True

    def cancel(self, key: str) -> None:
        """End what waits, and ask for the end of what runs."""
        task = self.tasks[key]
        if task.state in WAITING:
            task.free(TaskState.CANCELLED)
        elif task.state is TaskState.RUNNING:
            task.cancel_requested = True

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
            task.suspect = 0
            return
        task.suspect += 1
        if task.suspect <= 2:
            task.free(TaskState.READY)
            task.uncharged += 1
            return
        task.retries += 1
        charged = task.attempts - task.uncharged
        over = charged > MAX_RETRIES or task.suspect >= 5
        task.free(TaskState.FAILED if over else TaskState.SCHEDULED)
        if not over:
            task.run_at = self.now + STEP * charged

    # The atomic change

    def modify(self, wanted: Modification) -> bool:
        """Do all of it or nothing; whether it was done, now or before."""
        inserts = list(wanted.insert)
        deleted = {ref.key for ref in wanted.delete}
        taken = [new for new in inserts if self.holders(new) - (deleted - {new.key})]
        refused = any(not self._unchanged(ref, live=role == "change") for role, ref in wanted.named)
        if refused or any(new.on_conflict != "skip" for new in taken):
            keys = [change.ref.key for change in wanted.change] + [new.key for new in inserts if new.key]
            return any(key in self.tasks and self.tasks[key].mark == wanted.id for key in keys)
        for change in wanted.change:
            task = self.tasks[change.ref.key]
            mine = task.token is not None and task.token == change.ref.token
            self._change(task, change.given, mine=mine)
            task.mark = wanted.id
        for key in deleted:
            del self.tasks[key]
        for new in inserts:
            if new not in taken:
                self.add(new, wanted.id)
        return True

    def _unchanged(self, ref: TaskRef, *, live: bool) -> bool:
        task = self.tasks.get(ref.key)
        if task is None or task.version != ref.version or (live and task.state in FINISHED):
            return False
        return task.state is not TaskState.RUNNING or task.token == ref.token or task.lapsed(self.now)

    def _change(self, task: Known, given: dict[str, Any], *, mine: bool) -> None:
        running = task.state is TaskState.RUNNING
        arrives = "queue" in given or "delay" in given
        task.priority = given.get("priority", task.priority)
        task.tags = given.get("tags", task.tags)
        if "delay" in given:
            task.run_at = self.now + timedelta(seconds=given["delay"])
        if given.get("queue", task.queue) != task.queue:
            task.queue, task.moved_from = given["queue"], task.queue
        task.version += 1
        if running and (arrives or not mine):
            task.free(task.ready_by(self.now))
            task.version -= 1
            task.uncharged += 1
        elif arrives:
            task.state = task.ready_by(self.now)

    def live(self) -> Iterator[Known]:
        """Those that have not finished."""
        return (task for task in self.tasks.values() if task.state in LIVE)
