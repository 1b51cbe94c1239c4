"""Keep schedules: write, list, pause, resume and delete them by name, and declare those of the code.

Each write is guarded by the version that was read, and made again where another came between.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from mongoq.core.errors import InvalidTask, StorageRefused
from mongoq.core.fleet import SignalKind
from mongoq.core.validation import shortened
from mongoq.scheduling.given import Given
from mongoq.scheduling.schedule import Definition, Schedule, ScheduleNotFound
from mongoq.scheduling.timing import Timing
from mongoq.storage.commands import Delete, Document, InsertOne, Op, Update, find, find_one, update_many
from mongoq.storage.context import Context
from mongoq.storage.control import CreateIndexes, Hello, ListIndexes
from mongoq.storage.documents import encoding, indexes
from mongoq.storage.documents.scheduling import schedules
from mongoq.storage.documents.scheduling.launches import LAUNCH
from mongoq.storage.operations.fleet.signals import hint
from mongoq.storage.operations.long_work.patience import LOOK_LIMIT
from mongoq.storage.operations.schedules.launch import finish
from mongoq.storage.refusals import KeyTaken

UNREADABLE: Final = (KeyError, TypeError, ValueError, InvalidTask, AttributeError, OverflowError)
"""What decoding a document raises that mongoq has not written."""


def put(context: Context, given: Given) -> Op[Schedule]:
    """Write a schedule, and return it as it is then; one that says the same is left as it is."""
    yield from _ensure_index(context)
    while True:
        before = yield from _settled(context, given.name)
        known = None if before is None or schedules.DELETED in before else _read(before)
        definition = given.over(None if known is None else known.definition, context.clock.now())
        if known is not None and before is not None and schedules.says(before, _encoded(context, definition)):
            return known
        if (yield from _write(context, before, definition, None if before is None else before.get(schedules.CODE))):
            return (yield from get(context, given.name))


def declare(context: Context, definitions: Iterable[Given]) -> Op[None]:
    """Write the schedules of the code, but for those that said the same before: what was edited since then stays."""
    wanted = {given.name: given for given in definitions}
    if not wanted:
        return
    yield from _ensure_index(context)
    written = False
    while wanted:
        found = yield from find(context.schedules, {schedules.NAME: {"$in": list(wanted)}})
        before = {document[schedules.NAME]: document for document in found}
        for name, given in list(wanted.items()):
            document = before.get(name)
            if document is not None and LAUNCH in document:
                yield from finish(context, [document])
                continue
            known = None if document is None else _read(document)
            definition = given.over(None if known is None else known.definition, context.clock.now())
            code = schedules.fingerprint(definition)
            if document is not None and document.get(schedules.CODE) == code:
                del wanted[name]
            elif (yield from _write(context, document, definition, code)):
                written = True
                del wanted[name]
    if written:
        yield from hint(context, SignalKind.SCHEDULES)


def get(context: Context, name: str) -> Op[Schedule]:
    """Read one schedule; ScheduleNotFound where there is none."""
    document = yield from find_one(context.schedules, schedules.called(name))
    if document is None:
        raise ScheduleNotFound(f"no schedule has the name {shortened(name)}")
    return schedules.schedule_from(document)


def listed(context: Context) -> Op[list[Schedule]]:
    """All schedules by name, but for those that cannot be read."""
    found = yield from find(context.schedules, schedules.living(), sort=[(schedules.NAME, 1)], majority=True)
    return [known for document in found if (known := _read(document)) is not None]


def pause(context: Context, name: str, by: str, reason: str | None) -> Op[Schedule]:
    """Let a schedule tick no more until it is resumed."""
    yield from _change(context, name, schedules.paused(context.clock.now(), by, reason))
    return (yield from get(context, name))


def resume(context: Context, name: str) -> Op[Schedule]:
    """Let a paused schedule tick again, from the next tick on."""
    while True:
        known = yield from get(context, name)
        if not known.paused:
            return known
        update = schedules.resumed(_following(context, known.timing, known))
        if (yield from update_many(context.schedules, schedules.at_version(name, known.version), update)):
            return (yield from get(context, name))


def delete(context: Context, name: str) -> Op[None]:
    """Delete a schedule. One that the code declares leaves a mark: it stays deleted until the code says otherwise."""
    while True:
        document = yield from _settled(context, name)
        if document is not None and schedules.CODE in document:
            return (yield from _change(context, name, schedules.deleted(context.clock.now())))
        if (yield Delete(context.schedules, schedules.unmarked(schedules.called(name)))):
            return None
        yield from get(context, name)


def _change(context: Context, name: str, update: Update) -> Op[None]:
    """Update a schedule, after the launch that is going on for it."""
    while not (yield from update_many(context.schedules, schedules.unmarked(schedules.called(name)), update)):
        yield from get(context, name)
        yield from _settled(context, name)


def _settled(context: Context, name: str) -> Op[Document | None]:
    """The document of this name, once no launch is going on for it."""
    while True:
        document = yield from find_one(context.schedules, {schedules.NAME: {"$eq": name}})
        if document is None or LAUNCH not in document:
            return document
        yield from finish(context, [document])


def _write(context: Context, before: Document | None, definition: Definition, code: str | None) -> Op[bool]:
    """Write a definition over the document that was read; whether nobody came between."""
    now = context.clock.now()
    defined = _encoded(context, definition)
    encoding.checked_size(defined, context.options.max_task_bytes)
    next_at = _next(before, definition, context)
    if before is not None:
        where = schedules.at_version(definition.name, before.get(schedules.VERSION))
        update = schedules.redefined(before, defined, next_at, code)
        return bool((yield from update_many(context.schedules, where, update)))
    try:
        yield InsertOne(context.schedules, schedules.new_document(definition.name, defined, next_at, code, now))
    except KeyTaken:
        return False
    return True


def _next(before: Document | None, definition: Definition, context: Context) -> Any:
    """The next tick: the one that stands where the times are the same, so that one that is due is not lost."""
    known = None if before is None or schedules.DELETED in before else _read(before)
    if known is not None and known.timing == definition.timing and known.next_at is not None:
        return known.next_at
    return _following(context, definition.timing, known)


def _following(context: Context, timing: Timing, known: Schedule | None) -> datetime | None:
    """The next tick from now on, and never one again that was enqueued: the clock of a server may step back."""
    now = context.clock.now()
    return timing.after(now if known is None or known.last_at is None else max(now, known.last_at))


def _encoded(context: Context, definition: Definition) -> Document:
    """A definition with what tasks carry that this queue enqueues."""
    return schedules.definition_document(definition, dict(context.options.carried), context.options.max_age)


def _read(document: Document) -> Schedule | None:
    try:
        return schedules.schedule_from(document)
    except UNREADABLE:
        return None


def next_tick(context: Context, queues: Sequence[str] | None = None) -> Op[datetime | None]:
    """When the next tick of any schedule is, or of those that enqueue into these queues; None where there is none."""
    where, only = schedules.ever_due(queues), [schedules.NEXT_AT]
    first = yield from find_one(context.schedules, where, only=only, sort=[(schedules.NEXT_AT, 1)])
    return None if first is None else first[schedules.NEXT_AT]


def _ensure_index(context: Context) -> Op[None]:
    """Build the index of the next ticks; without the right to do so, the few schedules are read as they are."""
    try:
        existing: dict[str, Any] = yield ListIndexes(context.schedules)
        if indexes.missing(schedules.INDEXES, existing):
            reply = yield Hello()
            quorum = "majority" if "setName" in reply else None
            yield CreateIndexes(context.schedules, schedules.INDEXES, quorum, LOOK_LIMIT)
    except StorageRefused:
        pass
