"""What must become of the tasks of a model where they are changed together, or from outside."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from mongoq.core.lifecycle import FINISHED, WAITING, TaskState
from mongoq.core.tasks.modification import Modification, TaskRef
from mongoq.storage.documents.fields import MOST_MARKS
from proving.known_task import Known
from proving.task_model import Model

# From outside, one at a time


def cancel(model: Model, key: str) -> None:
    """End what waits, and ask for the end of what runs."""
    task = model.tasks[key]
    if task.state in WAITING:
        task.free(TaskState.CANCELLED)
    elif task.state is TaskState.RUNNING:
        task.cancel_requested = True


def delete(model: Model, key: str) -> bool:
    """Forget what does not run; whether that was allowed."""
    if model.tasks[key].state is TaskState.RUNNING:
        return False
    del model.tasks[key]
    return True


def move(model: Model, key: str, to: str) -> bool:
    """Have what waits wait elsewhere, as if it had never been tried; whether that was allowed."""
    task = model.tasks[key]
    if task.state in WAITING and task.queue != to:
        task.go(to)
        task.fresh()
        task.version += 1
    return task.state in WAITING


def update(
    model: Model, key: str, *, priority: int | None = None, delay: int | None = None, expires_at: datetime | None = None
) -> bool:
    """Change what waits; whether that was allowed."""
    task = model.tasks[key]
    if task.state not in WAITING or _expires_first(model, task, delay, expires_at):
        return False
    task.priority = task.priority if priority is None else priority
    task.expires_at = expires_at or task.expires_at
    task.version += 1
    if delay is not None:
        task.run_at = model.now + timedelta(seconds=delay)
        task.state = task.ready_by(model.now)
    return True


def _expires_first(model: Model, task: Known, delay: int | None, expires_at: datetime | None = None) -> bool:
    """Whether a change would put the time of a task behind its expiry."""
    run_at = task.run_at if delay is None else model.now + timedelta(seconds=delay)
    ends = expires_at or task.expires_at
    changed = delay is not None or expires_at is not None
    return changed and ends is not None and model.now < run_at and ends <= run_at


# From outside, many


def rerun_all(model: Model, keys: Sequence[str]) -> list[str]:
    """Have failed tasks run again, but for those whose `unique` value another has by now; which do."""
    return [key for key in keys if model.tasks[key].state is TaskState.FAILED and _rerun(model, key)]


def redrive(model: Model, queue: str, keys: Sequence[str]) -> list[str]:
    """The same, where they came from, and with those that wait in a queue that they were sent to; which do."""
    away = [
        key
        for key in keys
        if (task := model.tasks[key]).queue == queue
        and task.moved_from is not None
        and task.state in (TaskState.FAILED, *WAITING)
    ]
    return [key for key in away if _rerun(model, key, home=True)]


def _rerun(model: Model, key: str, *, home: bool = False) -> bool:
    task = model.tasks[key]
    if task.unique is not None and any(other.unique == task.unique and other is not task for other in model.live()):
        return False
    task.free(TaskState.READY)
    task.fresh()
    task.lost_leases, task.cancel_requested = 0, False
    task.run_at = model.now
    if home:
        task.queue, task.moved_from = task.moved_from or "", None
    return True


# The atomic change


def modify(model: Model, wanted: Modification) -> bool:
    """Do all of it or nothing; whether it was done, now or before."""
    inserts = list(wanted.insert)
    deleted = {ref.key for ref in wanted.delete}
    taken = [new for new in inserts if model.holders(new) - (deleted - {new.key})]
    refused = any(not _unchanged(model, ref, live=role == "change") for role, ref in wanted.named)
    if refused or any(new.on_conflict != "skip" for new in taken):
        keys = [change.ref.key for change in wanted.change] + [new.key for new in inserts if new.key]
        return any(key in model.tasks and wanted.id in model.tasks[key].marks for key in keys)
    if any(_expires_first(model, model.tasks[one.ref.key], one.given.get("delay")) for one in wanted.change):
        return False
    for change in wanted.change:
        task = model.tasks[change.ref.key]
        mine = task.token is not None and task.token == change.ref.token
        _change(model, task, change.given, mine=mine)
        task.marks = (*task.marks, wanted.id)[-1 - MOST_MARKS :]
    for key in deleted:
        del model.tasks[key]
    for new in inserts:
        if new not in taken:
            model.add(new, wanted.id)
    return True


def _unchanged(model: Model, ref: TaskRef, *, live: bool) -> bool:
    task = model.tasks.get(ref.key)
    if task is None or task.version != ref.version or (live and task.state in FINISHED):
        return False
    return task.state is not TaskState.RUNNING or task.token == ref.token or task.lapsed(model.now)


def _change(model: Model, task: Known, given: dict[str, Any], *, mine: bool) -> None:
    running = task.state is TaskState.RUNNING
    arrives = "queue" in given or "delay" in given
    task.priority = given.get("priority", task.priority)
    task.tags = given.get("tags", task.tags)
    if "delay" in given:
        task.run_at = model.now + timedelta(seconds=given["delay"])
    if given.get("queue", task.queue) != task.queue:
        task.go(given["queue"])
    task.version += 1
    if running and (arrives or not mine):
        task.free(task.ready_by(model.now))
        task.version -= 1
        task.uncharged += 1
    elif arrives:
        task.state = task.ready_by(model.now)
