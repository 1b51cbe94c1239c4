"""Making tasks. Each is checked and encoded as a whole, as a draft, before it is sent."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from mongoq.core.errors import DuplicateTask, InvalidTask, MongoqError
from mongoq.core.new_task import NewTask, Tags, at
from mongoq.core.task import Task
from mongoq.core.validation import whole_milliseconds
from mongoq.storage.commands import Document, InsertMany, InsertOne, KeyTaken, Op, PartlyWritten, find
from mongoq.storage.context import Context
from mongoq.storage.documents import decoding, encoding, fields, filters, indexes

CHUNK: Final = 1_000
CHUNK_BYTES: Final = 16 * 2**20
_SKIP: Final = '; on_conflict="skip" returns it instead'


class Draft(NamedTuple):
    """A task that is ready to be sent."""

    options: NewTask
    model: Document
    """Its document, but for key and tags."""
    key: str
    tags: Tags
    body: Any
    """Its document, encoded."""

    @property
    def skips(self) -> bool:
        """Whether a task that is there already will do as well."""
        return self.options.skips


Others = Mapping[int, Document | MongoqError]
"""What came of the drafts that were not enqueued, by place: the task that is there instead, or an error."""


def draft(context: Context, task: NewTask) -> Draft:
    """Draft one task, to be enqueued now. InvalidTask where it is too large, or BSON cannot carry it."""
    now = context.clock.now()
    model, key = _model(context, task, now), task.key or context.new_key(now)
    document = encoding.new_document(model, key, task.tags)
    return Draft(task, model, key, task.tags, encoding.encoded(document, context.options.max_task_bytes))


def document_of(context: Context, task: NewTask, now: datetime) -> Document:
    """What is stored of a task that is made at `now`."""
    return encoding.new_document(_model(context, task, now), task.key or context.new_key(now), task.tags)


def chunks(context: Context, tasks: Iterable[tuple[NewTask, Tags]]) -> Iterator[list[Draft]]:
    """Draft tasks in chunks of at most 1,000 and 16 MiB; all of one chunk treat conflicts alike.

    What a chunk brings is never older than what came before it, so claims keep the order of `tasks`.
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
        if drafts and (full or task.skips is not drafts[0].skips):
            yield drafts
            drafts, size, now, options = [], 0, max(now, context.clock.now()), None
            keys = context.new_key.endlessly(now)
        drafts.append(one)
        size += length
    if drafts:
        yield drafts


def new(context: Context, task: NewTask) -> Op[Task]:
    """Enqueue one task; where its key (or `unique`) is taken, do as its `on_conflict` says."""
    one = draft(context, task)
    try:
        yield InsertOne(context.tasks, one.body)
    except KeyTaken as taken:
        others = yield from _instead(context, [one], {0: taken})
        return made(context, one, others.get(0))
    return made(context, one, None)


def chunk(context: Context, drafts: Sequence[Draft], *, only: Sequence[str] | None = None) -> Op[Others]:
    """Enqueue a chunk of `drafts`: in order, and up to the first that is refused, unless conflicts are skipped.

    `only` is that of `together`.
    """
    if drafts[0].skips:
        return (yield from together(context, drafts, only=only))
    try:
        yield InsertMany(context.tasks, [one.body for one in drafts])
    except PartlyWritten as partly:
        return {place: _told(drafts[place], error) for place, error in partly.errors.items()}
    return {}


def together(context: Context, drafts: Sequence[Draft], *, only: Sequence[str] | None = None) -> Op[Others]:
    """Insert all that can be, in one round trip; where some are taken that may be skipped, find who has them.

    `only` names the fields to bring of those. One whose holder has ended meanwhile is tried once more.
    """
    refused = yield from _insert(context, [one.body for one in drafts])
    return (yield from _instead(context, drafts, refused, only)) if refused else {}


def _instead(
    context: Context, drafts: Sequence[Draft], refused: Mapping[int, MongoqError], only: Sequence[str] | None = None
) -> Op[Others]:
    """What came of the drafts that were refused, by place."""
    others: dict[int, Document | MongoqError] = {}
    for last in (False, True):
        taken: dict[int, KeyTaken] = {}
        for place, error in refused.items():
            if isinstance(error, KeyTaken) and drafts[place].skips:
                taken[place] = error
            else:
                others[place] = _told(drafts[place], error)
        instead = (yield from _there_instead(context, drafts, taken, only)) if taken else {}
        others |= instead
        left = [place for place in taken if place not in instead]
        if last:
            others |= {place: _told(drafts[place], taken[place]) for place in left}
        if last or not left:
            break
        again = yield from _insert(context, [drafts[place].body for place in left])
        refused = {left[index]: error for index, error in again.items()}
    return others


def made(context: Context, one: Draft, other: Document | MongoqError | None) -> Task:
    """The task that came of a draft: itself, the one that is there instead, or an error, raised."""
    if isinstance(other, MongoqError):
        raise other
    if other is not None:
        return decoding.task_from(other, context.namespace, context.clock.now())
    document = encoding.new_document(one.model, one.key, one.tags)
    return decoding.task_from(document, context.namespace, document[fields.CREATED_AT])


def all_made(context: Context, drafts: Sequence[Draft], others: Others) -> list[Task]:
    """The tasks that came of drafts, in their places."""
    return [made(context, one, others.get(place) if others else None) for place, one in enumerate(drafts)]


def _there_instead(
    context: Context, drafts: Sequence[Draft], taken: Mapping[int, KeyTaken], only: Sequence[str] | None
) -> Op[dict[int, Document]]:
    """The tasks that have the key or the `unique` value of those that were taken, by place."""
    uniques = {place: drafts[place].options.unique or "" for place in taken if _by_unique(taken[place])}
    keys = {place: drafts[place].key for place in taken if place not in uniques}
    by_key, by_unique = yield from holders(context, set(keys.values()), set(uniques.values()), only)
    found = {place: by_key[key] for place, key in keys.items() if key in by_key}
    return found | {place: by_unique[value] for place, value in uniques.items() if value in by_unique}


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


def holders(
    context: Context, keys: Collection[str], uniques: Collection[str], only: Sequence[str] | None
) -> Op[tuple[dict[str, Document], dict[str, Document]]]:
    """The tasks that have these keys, by key, and the unfinished ones that have these `unique` values, by value."""
    wanted = None if only is None else [*only, fields.KEY, fields.UNIQUE]
    hidden = fields.PROOFS if only is None else None
    by_key: list[Document] = []
    by_unique: list[Document] = []
    if keys:
        where = filters.by_keys(list(keys))
        by_key = yield from find(context.tasks, where, only=wanted, without=hidden, hint="_id_")
    if uniques:
        where = filters.by_unique(uniques)
        by_unique = yield from find(context.tasks, where, only=wanted, without=hidden, hint=indexes.UNIQUE)
    return (
        {document[fields.KEY]: document for document in by_key},
        {document[fields.UNIQUE]: document for document in by_unique},
    )


def _model(context: Context, task: NewTask, now: datetime) -> Document:
    expires_at = task.expires_at
    if expires_at is None and context.options.max_age is not None:
        expires_at = whole_milliseconds(now + context.options.max_age)
    carried = {**context.options.carried, **task.carried} if task.carried else context.options.carried
    return encoding.model_document(task, now, carried, expires_at)


def duplicate(one: Draft, *, by_unique: bool) -> DuplicateTask:
    """The error that names what is taken."""
    if by_unique:
        unique = one.options.unique
        return DuplicateTask(f"unique: an unfinished task has {unique!r} already{_SKIP}", unique=unique)
    return DuplicateTask(f"key: a task has {one.key!r} already{_SKIP}", key=one.key)


def _told(one: Draft, error: MongoqError) -> MongoqError:
    """The error as the caller knows it."""
    if not isinstance(error, KeyTaken):
        return error
    told = duplicate(one, by_unique=_by_unique(error))
    told.__cause__ = error
    return told


def _by_unique(taken: KeyTaken) -> bool:
    return taken.field == fields.UNIQUE
