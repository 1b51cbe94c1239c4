"""Making tasks. A task is checked and encoded as a whole before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from mongoq.checks import whole_milliseconds
from mongoq.errors import DuplicateTask
from mongoq.model import Task
from mongoq.new_task import NewTask
from mongoq.storage import documents, filters
from mongoq.storage.commands import Command, Document, Op, find_one
from mongoq.storage.context import Context
from mongoq.storage.failures import KeyTaken

CHUNK: Final = 1_000
CHUNK_BYTES: Final = 16 * 2**20
_SKIP: Final = '; new(..., on_conflict="skip") returns it instead'


def new(context: Context, task: NewTask) -> Op[Task]:
    """Enqueue one task; where its key (or `unique`) is taken, do as its `on_conflict` says."""
    skip = task.on_conflict == "skip"
    now = context.clock.now()
    document = _document(context, task, now)
    body = documents.encoded(document, context.options.max_task_bytes)
    for last in (False, True):
        try:
            yield Command(context.tasks, "insert_one", (body,))
            break
        except KeyTaken as taken:
            existing = (yield from find_one(context.tasks, _taken_by(taken, task, document))) if skip else None
            if existing is not None:
                return documents.task_from(existing, context.namespace, context.clock.now())
            if last or not skip:  # once more where the holder of the unique value has ended meanwhile
                raise _duplicate(taken, task, document) from taken
    return documents.task_from(document, context.namespace, now)


def new_many(context: Context, tasks: Sequence[NewTask]) -> Op[list[Task]]:
    """Enqueue tasks in this order, in chunks of 1,000; all are made at the same `now`.

    All are checked before the first is sent. A chunk is written in order: when the server refuses one, those
    before it stay enqueued, and DuplicateTask names the one refused.
    """
    made: list[Task] = []
    for chunk in _chunks(context, tasks):
        try:
            yield Command(context.tasks, "insert_many", ([body for _, _, body in chunk],))
        except KeyTaken as taken:
            task, document, _ = chunk[taken.index]
            raise _duplicate(taken, task, document) from taken
        now = context.clock.now()
        made += [documents.task_from(document, context.namespace, now) for _, document, _ in chunk]
    return made


def _chunks(context: Context, tasks: Sequence[NewTask]) -> list[list[tuple[NewTask, Document, Any]]]:
    now = context.clock.now()
    chunks: list[list[tuple[NewTask, Document, Any]]] = []
    size = CHUNK_BYTES
    for task in tasks:
        document = _document(context, task, now)
        body = documents.encoded(document, context.options.max_task_bytes)
        if size + len(body.raw) > CHUNK_BYTES or len(chunks[-1]) == CHUNK:
            chunks.append([])
            size = 0
        chunks[-1].append((task, document, body))
        size += len(body.raw)
    return chunks


def _document(context: Context, task: NewTask, now: datetime) -> Document:
    expires_at = task.expires_at
    if expires_at is None and context.options.max_age is not None:
        expires_at = whole_milliseconds(now + context.options.max_age)
    carried = {**context.options.carried, **task.carried} if task.carried else context.options.carried
    return documents.new_document(task, task.key or context.new_key(now), now, carried, expires_at)


def _taken_by(taken: KeyTaken, task: NewTask, document: Document) -> dict[str, Any]:
    if taken.field == documents.UNIQUE and task.unique is not None:
        return filters.by_unique([task.unique])
    return filters.by_keys([document[documents.KEY]])


def _duplicate(taken: KeyTaken, task: NewTask, document: Document) -> DuplicateTask:
    if taken.field == documents.UNIQUE:
        return DuplicateTask(f"unique: an unfinished task has {task.unique!r} already{_SKIP}", unique=task.unique)
    key = document[documents.KEY]
    return DuplicateTask(f"key: a task has {key!r} already{_SKIP}", key=key)
