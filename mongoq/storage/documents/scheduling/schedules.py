"""The documents of `<namespace>.schedules`: encoded, decoded, and found.

A schedule that is due has a `next_at` that is not in the future; one that is paused, deleted or unreadable has none.
`code` is the fingerprint of what `@queue.cron` said when it last was written from there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from mongoq.core.judging.policy import POLICY_NAMES
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.validation import UNSET
from mongoq.scheduling.schedule import Definition, Schedule
from mongoq.scheduling.timing import EPOCH
from mongoq.storage.commands import Document, Filter, Update
from mongoq.storage.documents import decoding, encoding, fields
from mongoq.storage.documents.indexes import Indexes
from mongoq.storage.documents.scheduling.launches import LAUNCH, Standing

NAME: Final = fields.KEY
CRON: Final = "cron"
TZ: Final = "tz"
EVERY: Final = "every"
ANCHOR: Final = "anchor"
TASK: Final = "task"
MAX_AGE: Final = "max_age"
CATCH_UP: Final = "catch_up"
JITTER: Final = "jitter"
OVERLAP: Final = "overlap"
NEXT_AT: Final = "next_at"
LAST_AT: Final = "last_at"
LAST_KEY: Final = "last_key"
SKIPPED: Final = "skipped"
PAUSED: Final = "paused"
REFUSAL: Final = "refusal"
CODE: Final = "code"
DELETED: Final = "deleted"
VERSION: Final = fields.VERSION

INDEXES: Final[Indexes] = {"next": ([(NEXT_AT, 1)], {})}
_DEFINED: Final = (CRON, TZ, EVERY, ANCHOR, TASK, MAX_AGE, CATCH_UP, JITTER, OVERLAP)
_LARGEST: Final = 16 * 2**20


def definition_document(one: Definition, carried: dict[str, Any], max_age: timedelta | None) -> Document:
    """Encode a definition; `carried` and `max_age` are those of the queue that defines it."""
    document: Document = {TASK: _task_document(one.task, {**carried, **one.task.carried}), OVERLAP: one.overlap}
    document[CATCH_UP] = _seconds(one.catch_up)
    timing = one.timing
    if timing.every is not None:
        document |= {EVERY: _seconds(timing.every), ANCHOR: timing.anchor}
    else:
        document |= {CRON: timing.cron, TZ: timing.tz}
    if one.jitter:
        document[JITTER] = _seconds(one.jitter)
    if max_age is not None:
        document[MAX_AGE] = _seconds(max_age)
    return document


def says(before: Document, defined: Document) -> bool:
    """Whether a stored schedule says what this definition says."""
    return all(before.get(field) == defined.get(field) for field in _DEFINED)


def fingerprint(one: Definition) -> str:
    """What tells one definition in the code from another; the anchor of an interval is not part of it."""
    told = definition_document(one, {}, None)
    told.pop(ANCHOR, None)
    return hashlib.sha256(encoding.encoded(told, _LARGEST).raw).hexdigest()[:16]


def new_document(name: str, defined: Document, next_at: datetime | None, code: str | None, now: datetime) -> Document:
    """The document of a new schedule."""
    made = {NAME: name, **defined, NEXT_AT: next_at, CODE: code, fields.CREATED_AT: now, VERSION: 1}
    return {field: value for field, value in made.items() if value is not None}


def redefined(before: Document, defined: Document, next_at: datetime | None, code: str | None) -> Update:
    """Write another definition over a schedule that is there; one that was deleted begins anew."""
    anew = DELETED in before
    written = {**defined, NEXT_AT: None if PAUSED in before and not anew else next_at, CODE: code}
    removed = [field for field in (*_DEFINED, NEXT_AT, REFUSAL, DELETED) if written.get(field) is None]
    if anew:
        removed += [PAUSED, LAST_AT, LAST_KEY, SKIPPED]
    update: Update = {"$set": {field: value for field, value in written.items() if value is not None}}
    return {**update, "$unset": dict.fromkeys(removed, ""), **_COUNTED}


def paused(now: datetime, by: str, reason: str | None) -> Update:
    """Pause a schedule."""
    why: Document = {"at": now, "by": by} | ({} if reason is None else {"reason": reason})
    return {"$set": {PAUSED: why}, "$unset": {NEXT_AT: ""}, **_COUNTED}


def resumed(next_at: datetime | None) -> Update:
    """Let a schedule tick again."""
    gone = {PAUSED: "", REFUSAL: ""} | ({NEXT_AT: ""} if next_at is None else {})
    return {**({"$set": {NEXT_AT: next_at}} if next_at else {}), "$unset": gone, **_COUNTED}


def deleted(now: datetime) -> Update:
    """Mark a schedule of the code as deleted, so that the next start does not bring it back."""
    return {"$set": {DELETED: now}, "$unset": {NEXT_AT: ""}, **_COUNTED}


def ticked(after: Standing) -> Update:
    """Move a schedule on to its next tick."""
    written = {LAST_AT: after.last_at, LAST_KEY: after.last_key, NEXT_AT: after.next_at}
    update: Update = {"$set": {field: value for field, value in written.items() if value is not None}}
    update["$unset"] = {REFUSAL: "", LAUNCH: ""} | ({NEXT_AT: ""} if after.next_at is None else {})
    update["$inc"] = {VERSION: 1} | ({SKIPPED: after.skipped} if after.skipped else {})
    return {operator: what for operator, what in update.items() if what}


def refused(why: str, *, unreadable: bool) -> Update:
    """Note why a tick cannot be enqueued; a schedule that cannot be read is due no more."""
    return {"$set": {REFUSAL: why}, **({"$unset": {NEXT_AT: ""}} if unreadable else {}), **_COUNTED}


_COUNTED: Final[Update] = {"$inc": {VERSION: 1}}


def called(name: str) -> Filter:
    """The schedule of this name."""
    return {NAME: {"$eq": name}, DELETED: {"$exists": False}}


def unmarked(where: Filter) -> Filter:
    """Those of these that no launch is going on for."""
    return {**where, LAUNCH: {"$exists": False}}


def at_version(name: str, version: Any) -> Filter:
    """The schedule of this name, as it was read."""
    return {NAME: {"$eq": name}, VERSION: {"$eq": version}}


def due(now: datetime, names: Sequence[str] | None = None) -> Filter:
    """Schedules that are due, of these names or of any."""
    of_names = {} if names is None else {NAME: {"$in": list(names)}}
    return {**of_names, NEXT_AT: {"$gt": EPOCH, "$lte": now}}


def ever_due(queues: Sequence[str] | None = None) -> Filter:
    """Schedules that will be due at some time, and enqueue into these queues or into any."""
    into = {} if queues is None else {f"{TASK}.{fields.QUEUE}": {"$in": list(queues)}}
    return {NEXT_AT: {"$gt": EPOCH}, **into}


def living() -> Filter:
    """All that were not deleted."""
    return {DELETED: {"$exists": False}}


def schedule_from(document: Document) -> Schedule:
    """Decode a schedule; ValueError, TypeError, KeyError or InvalidTask where it is none that mongoq has written."""
    get = document.get
    pause, window = get(PAUSED) or {}, document[CATCH_UP]
    every = get(EVERY)
    return Schedule(
        name=document[NAME],
        task=task_from(document[TASK]),
        cron=get(CRON),
        tz=get(TZ, "UTC"),
        every=None if every is None else timedelta(seconds=every),
        catch_up=window if isinstance(window, str) else timedelta(seconds=window),
        jitter=timedelta(seconds=get(JITTER, 0)),
        overlap=document[OVERLAP],
        next_at=get(NEXT_AT),
        last_at=get(LAST_AT),
        last_key=get(LAST_KEY),
        skipped=get(SKIPPED, 0),
        paused_at=pause.get("at"),
        paused_by=pause.get("by"),
        reason=pause.get("reason") or get(REFUSAL),
        anchor=get(ANCHOR, EPOCH),
        from_code=CODE in document,
        version=document[VERSION],
    )


def task_from(document: Document) -> NewTask:
    """The task that each tick enqueues."""
    policy = decoding.policy_from(document.get(fields.POLICY))
    options = {name: policy.get(name, UNSET) for name in POLICY_NAMES}
    return NewTask(
        document.get(fields.TAGS, {}),
        queue=document[fields.QUEUE],
        name=document.get(fields.NAME),
        priority=document.get(fields.PRIORITY, 0),
        payload=document.get(fields.PAYLOAD),
        unique=document.get(fields.UNIQUE),
        on_conflict="skip",
        **options,
    )


def _task_document(task: NewTask, carried: dict[str, Any]) -> Document:
    optional = {fields.NAME: task.name, fields.PAYLOAD: task.payload, fields.UNIQUE: task.unique}
    document: Document = {fields.QUEUE: task.queue, fields.PRIORITY: task.priority, fields.TAGS: task.tags}
    document |= {name: value for name, value in optional.items() if value is not None}
    return document | ({fields.POLICY: encoding.policy_document(carried)} if carried else {})


def _seconds(duration: Any) -> Any:
    return duration.total_seconds() if isinstance(duration, timedelta) else duration
