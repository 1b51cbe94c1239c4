"""The end of a run that is followed by one more, as somebody asked for it meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from mongoq.core.judging.verdict import Verdict
from mongoq.core.lifecycle import Event, TaskState
from mongoq.storage.commands import Document, Filter, Op, Update, find_one, update_many
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters, updates
from mongoq.storage.operations.decide import Ended
from mongoq.storage.operations.on_conflict.merge import CONTENT, ID, WITH

_ENDS: Final = (Event.COMPLETE, Event.FAIL, Event.EXPIRE)
_DROPPED: Final = (fields.RESULT, fields.FINISHED_AT, fields.PURGE_AT, fields.FAILURE, fields.MOVED_FROM)
"""What an ending writes and a task that goes on does not have."""


def ends(verdict: Verdict) -> bool:
    """Whether a task does not run again by itself after this ending; one that is cancelled is not asked about."""
    return verdict.event in _ENDS or verdict.failure is not None


def guard_of(group: Sequence[Ended]) -> Filter:
    """The additional guard of endings with one verdict: against what somebody may have asked for meanwhile."""
    verdict = group[0].verdict
    asked: Filter = {fields.AGAIN: None} if ends(verdict) and any(ending.unique for ending in group) else {}
    return asked | unless_cancelled(verdict)


def unless_cancelled(verdict: Verdict) -> Filter:
    """The guard of an ending that a cancel request overrides: all but complete and cancel."""
    return {} if verdict.event in (Event.COMPLETE, Event.CANCEL) else {fields.CANCEL_REQUESTED: None}


def end_for_one_more(context: Context, ending: Ended) -> Op[bool]:
    """Write an ending of a task that is to run once more; False where that was not asked for, or it is not held.

    Another request may come between the read and the write: then both are repeated.
    """
    held = filters.held([ending.task.key], [ending.token])
    while ends(ending.verdict):
        document = yield from find_one(context.tasks, held, hint="_id_")
        if document is None or fields.AGAIN not in document:
            break
        update = for_one_more(document, ending.verdict, ending.token, context.clock.now())
        if (yield from update_many(context.tasks, held | as_asked(document), update)):
            return True
    return False


def as_asked(document: Document) -> Filter:
    """The guard of such an ending: the request is still the one that was read."""
    name = f"{fields.AGAIN}.{ID}"
    return {name: fields.value_of(document, name)}


def for_one_more(document: Document, verdict: Verdict, token: str | None, now: datetime) -> Update:
    """Make a task wait for one more run, with a fresh count of attempts and the content that was asked for."""
    request: Any = document[fields.AGAIN]
    content, run_at = request.get(WITH), request.get(fields.RUN_AT, now)
    update = updates.ended(verdict, token, now)
    written = {name: value for name, value in update["$set"].items() if name not in _DROPPED}
    written[fields.QUEUE] = document[fields.QUEUE]
    removed = {**update["$unset"], fields.AGAIN: ""}
    if content is not None:
        written |= content
        removed |= {name: "" for name in CONTENT if name not in content}
    written |= {
        fields.RUN_AT: run_at,
        fields.STATE: (TaskState.READY if run_at <= now else TaskState.SCHEDULED).value,
        fields.UNCHARGED: document.get(fields.ATTEMPTS, 0),
    }
    grown = {name: growth for name, growth in update["$inc"].items() if name != fields.UNCHARGED}
    return {**update, "$set": written, "$inc": grown, "$unset": removed}
