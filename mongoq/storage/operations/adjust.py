"""Change one waiting task by its key: its place in the line, its times, its tags, its payload."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from mongoq.core.errors import TaskNotFound, WrongState
from mongoq.core.lifecycle import WAITING, TaskState
from mongoq.core.requests import Adjustment
from mongoq.core.tasks.conflicts import Conflict, DependencyError, Role
from mongoq.core.tasks.task import Task
from mongoq.core.validation import UNSET, shortened, whole_milliseconds
from mongoq.storage.commands import Document, Op, Update, find_one, update_many
from mongoq.storage.context import Context
from mongoq.storage.documents import decoding, encoding, fields, filters, updates
from mongoq.storage.operations.queries import get


def adjust(context: Context, key: str, change: Adjustment) -> Op[Task]:
    """Change a waiting task; repeated when the task changes between the read and the write.

    Raises WrongState when the task does not wait, and when its `version` is not an integer: no guard matches it.
    Raises DependencyError when it has another version than `change` asks for, and InvalidTask when it would expire
    before it may run.
    """
    missed: tuple[int, datetime] | None = None
    while True:
        task, document = yield from _read(context, key)
        if change.if_version not in (None, task.version):
            why = f"it is {task.state} at version {task.version} now, not at version {change.if_version}"
            raise DependencyError(missing=[Conflict(key, Role.CHANGE, why)])
        if task.state not in WAITING:
            raise WrongState(key, task.state, "only waiting tasks can be changed")
        if missed == (task.version, task.created_at):
            raise WrongState(key, task.state, "its document has no `version` that is an integer, so it is not changed")
        update = adjusted(change, document, context.clock.earliest(), context.clock.latest())
        encoding.check_times(document, update, context.clock.earliest())
        if not (change.tags is None and change.payload is UNSET):
            encoding.checked_size(updates.applied(document, update), context.options.max_task_bytes)
        if (yield from update_many(context.tasks, filters.waiting(key, task.version), update)):
            return (yield from get(context, key))
        missed = task.version, task.created_at


def _read(context: Context, key: str) -> Op[tuple[Task, Document]]:
    """The task with this key, and its document."""
    document = yield from find_one(context.tasks, filters.by_keys([key]), without=fields.PROOFS)
    task = document and decoding.task_shown(document, context.namespace, context.clock.now())
    if not task or document is None:
        raise TaskNotFound(f"no task has the key {shortened(key)}")
    return task, document


def adjusted(change: Adjustment, document: Document, now: datetime, latest: datetime) -> Update:
    """Change the waiting task in `document`; the server's time lies between `now` and `latest`."""
    run_at = change.run_at
    if isinstance(change.delay, timedelta):
        run_at = whole_milliseconds(updates.later(now, latest, change.delay))
    given = {
        fields.PRIORITY: UNSET if change.priority is None else change.priority,
        fields.RUN_AT: UNSET if run_at is None else run_at,
        fields.EXPIRES_AT: change.expires_at,
        fields.TAGS: UNSET if change.tags is None else _merged(document.get(fields.TAGS), change.tags),
        fields.PAYLOAD: change.payload,
    }
    written = {name: value for name, value in given.items() if not (value is UNSET or value is None)}
    if run_at is not None and document.get(fields.STATE) != TaskState.PARKED:
        written[fields.STATE] = (TaskState.READY if run_at <= now else TaskState.SCHEDULED).value
    removed = {name: "" for name, value in given.items() if value is None}
    update: Update = {"$set": {**written, fields.MODIFIED_AT: now}, "$inc": {fields.VERSION: 1}}
    return update | ({"$unset": removed} if removed else {})


def _merged(before: Any, given: Mapping[str, Any]) -> Document:
    """These tags over the earlier ones; None as a given value removes the tag."""
    kept = {name: value for name, value in before.items() if name not in given} if isinstance(before, dict) else {}
    return kept | {name: value for name, value in given.items() if value is not None}
