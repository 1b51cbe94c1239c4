"""Enqueue tasks. Each is first made into a draft, checked and encoded as a whole, and then sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from mongoq.core.errors import InvalidTask, MongoqError, StorageUnavailable
from mongoq.core.new_task import NewTask, Tags, at
from mongoq.core.task import Task
from mongoq.core.validation import whole_milliseconds
from mongoq.storage.commands import Document, InsertMany, InsertOne, Op
from mongoq.storage.context import Context
from mongoq.storage.documents import decoding, encoding, fields
from mongoq.storage.operations.on_conflict.instead import instead_of
from mongoq.storage.operations.on_conflict.merge import merged
from mongoq.storage.operations.queries import by_key_or_unique
from mongoq.storage.operations.recovery.duplicates import duplicate, told
from mongoq.storage.refusals import KeyTaken, PartlyWritten

CHUNK: Final = 1_000
CHUNK_BYTES: Final = 16 * 2**20


class Draft(NamedTuple):
    """A task ready to be sent."""

    options: NewTask
    model: Document
    """Its document without key and tags."""
    key: str
    tags: Tags
    body: Any
    """Its whole document, encoded."""

    @property
    def lenient(self) -> bool:
        """Whether a taken `unique` value, or key, leads to another task instead of an error."""
        return self.options.lenient


Others = Mapping[int, Document | MongoqError]
"""Results of the drafts that were not enqueued, by place: the existing task, or an error."""


def draft(context: Context, task: NewTask, *, key: str | None = None, ago: float = 0) -> Draft:
    """Draft a task that was made so many seconds ago; InvalidTask when it is too large or BSON cannot carry it."""
    now = context.clock.now() if not ago else whole_milliseconds(context.clock.now() - timedelta(seconds=ago))
    model, key = _model(context, task, now), key or task.key or context.new_key(now)
    document = encoding.new_document(model, key, task.tags)
    return Draft(task, model, key, task.tags, encoding.encoded(document, context.options.max_task_bytes))


def document_of(context: Context, task: NewTask, now: datetime) -> Document:
    """The document of a task that is enqueued at `now`."""
    task.check_again()
    return encoding.new_document(_model(context, task, now), task.key or context.new_key(now), task.tags)


def chunks(context: Context, tasks: Iterable[tuple[NewTask, Tags]]) -> Iterator[list[Draft]]:
    """Draft tasks in chunks of at most 1,000 tasks and 16 MiB; the tasks of a chunk share one `on_conflict`.

    A chunk is never dated before the chunk that precedes it, so claims keep the order of `tasks`.
    """
    drafts: list[Draft] = []
    size, now = 0, context.clock.now()
    most = context.options.max_task_bytes
    options: NewTask | None = None
    model, common, keys = Document(), b"", context.new_key.endlessly(now)
    for place, (task, tags) in enumerate(tasks):
        try:
            if task is not options:
                options, model = task, _model(context, task, now)
                common = encoding.encoded_model(model, most)
            key = task.key or next(keys)
            one = Draft(task, model, key, tags, encoding.encoded_after(common, key, tags, most))
        except InvalidTask as error:
            raise InvalidTask(at(place, error.faults)) from error.__cause__
        length = len(one.body.raw)
        full = len(drafts) == CHUNK or size + length > CHUNK_BYTES
        if drafts and (full or task.lenient is not drafts[0].lenient):
            yield drafts
            drafts, size, now, options = [], 0, max(now, context.clock.now()), None
            keys = context.new_key.endlessly(now)
        drafts.append(one)
        size += length
    if drafts:
        yield drafts


def new(context: Context, task: NewTask) -> Op[Task]:
    """Enqueue one task; when its key or `unique` value is taken, `on_conflict` decides."""
    one = draft(context, task)
    try:
        yield InsertOne(context.tasks, one.body)
    except KeyTaken as taken:
        others = yield from instead_of(context, [one], {0: taken}, _insert)
        return made(context, one, others.get(0))
    except StorageUnavailable as error:
        if error.ambiguous:
            error.add_note(f"key of the task that may exist: {one.key}")
        raise
    return made(context, one, None)


def chunk(context: Context, drafts: Sequence[Draft], *, only: Sequence[str] | None = None) -> Op[Others]:
    """Enqueue a chunk of drafts in order, up to the first that is refused; all of them with `on_conflict="skip"`.

    `only` names the fields to read of existing tasks.
    """
    if drafts[0].lenient:
        return (yield from together(context, drafts, only=only))
    try:
        yield InsertMany(context.tasks, [one.body for one in drafts])
    except PartlyWritten as partly:
        return {place: told(drafts[place], error) for place, error in partly.errors.items()}
    return {}


def together(context: Context, drafts: Sequence[Draft], *, only: Sequence[str] | None = None) -> Op[Others]:
    """Insert as many drafts as possible in one round trip, then read the existing tasks of those to be skipped.

    `only` names the fields to read. When the existing task has finished meanwhile, the draft is inserted once more.
    """
    refused = yield from _insert(context, [one.body for one in drafts])
    return (yield from instead_of(context, drafts, refused, _insert, only)) if refused else {}


def any_unique(drafts: Iterable[Draft]) -> bool:
    """Whether one of these has a `unique` value."""
    return any(one.options.unique is not None for one in drafts)


def new_in_transaction(context: Context, task: NewTask) -> Op[Task]:
    """Enqueue one task inside the caller's transaction: it becomes visible when that commits."""
    one = draft(context, task)
    others = yield from chunk_in_transaction(context, [one])
    return made(context, one, others.get(0))


def chunk_in_transaction(context: Context, drafts: Sequence[Draft], *, only: Sequence[str] | None = None) -> Op[Others]:
    """Enqueue a chunk of drafts inside the caller's transaction; none of them if one is refused.

    A refused insert would abort the whole transaction. So taken keys and `unique` values are looked up first.
    """
    keys = [one.options.key for one in drafts if one.options.key is not None]
    uniques = [one.options.unique for one in drafts if one.options.unique is not None]
    by_key, by_unique = yield from by_key_or_unique(context, keys, uniques, only)
    others: dict[int, Document | MongoqError] = {}
    fresh: list[Any] = []
    for place, one in enumerate(drafts):
        holder = by_key.get(one.key) or by_unique.get(one.options.unique or "")
        if holder is None:
            fresh.append(one.body)
            document = encoding.new_document(one.model, one.key, one.tags)
            by_key[one.key] = document
            if one.options.unique is not None:
                by_unique[one.options.unique] = document
        elif one.options.merges:
            others[place] = yield from _merged_in_transaction(context, one, by_key=one.key in by_key)
        elif one.lenient:
            others[place] = holder
        else:
            return dict.fromkeys(range(len(drafts)), duplicate(one, by_unique=one.key not in by_key))
    if fresh:
        yield InsertMany(context.tasks, fresh)
    return others


def _merged_in_transaction(context: Context, one: Draft, *, by_key: bool) -> Op[Document | MongoqError]:
    """Change the task that has the `unique` value; another's change in between aborts the transaction."""
    instead = yield from merged(context, one, by_key=by_key)
    return duplicate(one, by_unique=True) if instead is None else instead


def made(context: Context, one: Draft, other: Document | MongoqError | None) -> Task:
    """The task of a draft: the new one, or the existing one; raises the error of a refused draft."""
    if isinstance(other, MongoqError):
        raise other
    if other is not None:
        return decoding.task_from(other, context.namespace, context.clock.now())
    document = encoding.new_document(one.model, one.key, one.tags)
    return decoding.task_from(document, context.namespace, document[fields.CREATED_AT])


def all_made(context: Context, drafts: Sequence[Draft], others: Others) -> list[Task]:
    """The tasks of these drafts, in their order."""
    return [made(context, one, others.get(place) if others else None) for place, one in enumerate(drafts)]


def _insert(context: Context, bodies: list[Any]) -> Op[Mapping[int, MongoqError]]:
    try:
        if len(bodies) == 1:
            yield InsertOne(context.tasks, bodies[0])
        else:
            yield InsertMany(context.tasks, bodies, ordered=False)
    except KeyTaken as taken:
        return {0: taken}
    except PartlyWritten as partly:
        return partly.errors
    return {}


def _model(context: Context, task: NewTask, now: datetime) -> Document:
    expires_at = task.expires_at
    if expires_at is None and context.options.max_age is not None:
        expires_at = whole_milliseconds(now + context.options.max_age)
    carried = {**context.options.carried, **task.carried} if task.carried else context.options.carried
    due = task.run_at is None and task.delay is None  # whatever the server's time may be, which takes 2 µs to ask
    bounds = {} if due else {"earliest": context.clock.earliest(), "latest": context.clock.latest()}
    return encoding.model_document(task, now, carried, expires_at, **bounds)
