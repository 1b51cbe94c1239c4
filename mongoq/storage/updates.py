"""What a verb writes: pure functions, plain operators, so that a user's value is never read as an expression."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from mongoq.checks import whole_milliseconds
from mongoq.lifecycle import FINISHED, Event, TaskState
from mongoq.storage import documents as field
from mongoq.storage.commands import Document, Update

if TYPE_CHECKING:
    from mongoq.modification import Change
    from mongoq.verdict import Verdict

_HOLD: Final = {field.TOKEN: "", field.LEASE_UNTIL: ""}
_STREAK: Final = {field.SUSPECT: ""}

_TARGET: Final = {
    Event.COMPLETE: TaskState.COMPLETED,
    Event.RETRY: TaskState.SCHEDULED,
    Event.SNOOZE: TaskState.SCHEDULED,
    Event.FAIL: TaskState.FAILED,
    Event.RELEASE: TaskState.READY,
    Event.MOVE: TaskState.READY,
    Event.EXPIRE: TaskState.EXPIRED,
    Event.CANCEL: TaskState.CANCELLED,
}


def claimed(now: datetime, token: str, worker: str, lease: timedelta) -> Update:
    """Held by `worker` until the lease ends; the attempt is counted here and never taken back."""
    return {
        "$set": {
            field.STATE: TaskState.RUNNING.value,
            field.TOKEN: token,
            field.WORKER: worker,
            field.LEASE_UNTIL: now + lease,
            field.STARTED_AT: now,
            field.MODIFIED_AT: now,
        },
        "$inc": {field.ATTEMPTS: 1, field.VERSION: 1},
    }


def renewed(now: datetime, lease: timedelta) -> Update:
    """Held longer. No new version: a renewal must not spoil what another prepared."""
    return {"$set": {field.LEASE_UNTIL: now + lease}}


def once_more(token: str) -> Update:
    """A claim's token once more: it changes nothing, but is answered like every write."""
    return {"$set": {field.TOKEN: token}}


def ended(verdict: Verdict, token: str | None, now: datetime, *, queue: str = "", attempts: int = 0) -> Update:
    """What `verdict` asks for; `queue` and `attempts` are the task's own, for a move.

    `token` is the holder's whose ending this is: its mark stays, so that an ending whose reply was lost is
    recognised when it is repeated. A rescue is nobody's ending and leaves none, or the holder who comes back
    would be told that its own late ending was accepted.
    """
    target = state_after(verdict)
    written: dict[str, Any] = {field.STATE: target.value, field.MODIFIED_AT: now}
    if token is not None:
        written[field.LAST_TOKEN] = mark(token, verdict.event)
    grown = {field.VERSION: 1}
    if target in FINISHED:
        written[field.FINISHED_AT] = now
        if verdict.keep is not None:
            written[field.PURGE_AT] = now + verdict.keep
    said = ((field.RUN_AT, verdict.run_at), (field.RESULT, verdict.result), (field.NOTE, verdict.note))
    written |= {name: value for name, value in said if value is not None}
    if verdict.event is Event.MOVE:
        written |= {field.QUEUE: verdict.queue, field.MOVED_FROM: queue, field.UNCHARGED: attempts}
    elif not verdict.charged:
        grown[field.UNCHARGED] = 1
    update: Update = {"$set": written, "$inc": grown, "$unset": _HOLD if verdict.suspect else _HOLD | _STREAK}
    if verdict.suspect:
        grown[field.SUSPECT] = 1
    if verdict.error is not None:
        described = field.error_document(verdict.error)
        written[field.LAST_ERROR] = described
        grown[field.RETRIES] = 1
        update["$push"] = {field.ERRORS: {"$each": [described], "$slice": -field.MOST_ERRORS}}
    return update


def mark(token: str, event: Event) -> str:
    """What an accepted ending leaves in `last_token`."""
    return f"{token}/{event}"


def state_after(verdict: Verdict) -> TaskState:
    """The state that a verdict leads to."""
    if verdict.event is Event.RESCUE:
        return TaskState.READY if verdict.run_at is None else TaskState.SCHEDULED
    return _TARGET[verdict.event]


def promoted(now: datetime) -> Update:
    """Ready, because its time has come."""
    return {"$set": {field.STATE: TaskState.READY.value, field.MODIFIED_AT: now}, "$inc": {field.VERSION: 1}}


def closed(target: TaskState, now: datetime, keep: timedelta) -> Update:
    """Ended without having run: expired or cancelled."""
    return {
        "$set": {
            field.STATE: target.value,
            field.MODIFIED_AT: now,
            field.FINISHED_AT: now,
            field.PURGE_AT: now + keep,
        },
        "$inc": {field.VERSION: 1},
    }


def quarantined(fault: str, now: datetime, keep: timedelta) -> Update:
    """Failed without having run: the document is no task."""
    update = closed(TaskState.FAILED, now, keep)
    update["$set"][field.NOTE] = f"not a task: the field {fault} is missing or of a wrong type"
    if fault in (field.VERSION, field.PRIORITY, field.RUN_AT, field.QUEUE):
        del update["$inc"]
        update["$set"] |= {field.VERSION: 1, field.PRIORITY: 0, field.RUN_AT: now}
    return update


def emptied(now: datetime, keep: timedelta) -> Update:
    """Failed without having run, and without its content: with it the document cannot hold one byte more."""
    update = quarantined(field.VERSION, now, keep)
    update["$set"][field.NOTE] = "not a task: it leaves MongoDB no room to write to it; its content was dropped"
    update["$unset"] = {field.PAYLOAD: "", field.TAGS: "", field.ERRORS: "", field.RESULT: ""}
    return update


def changed(change: Change, document: Document, now: datetime, mark: str, *, give_up: bool) -> Update:
    """What `change` asks for of the live task in `document`; `give_up` takes the hold of whoever has it."""
    given = change.given
    run_at = given.get(field.RUN_AT) or document[field.RUN_AT]
    if "delay" in given:
        run_at = whole_milliseconds(now + _duration(given.pop("delay")))
    written: dict[str, Any] = {field.MODIFIED_AT: now, field.MODIFICATION: mark}
    grown = {field.VERSION: 1}
    removed = {name: "" for name, value in given.items() if value is None}
    # The arguments are named like the fields.
    written |= {name: value for name, value in given.items() if value is not None}
    if change.arrives or give_up:
        # What stays is not written, so that tasks moved alike share one update.
        if run_at != document[field.RUN_AT]:
            written[field.RUN_AT] = run_at
        written[field.STATE] = (TaskState.READY if run_at <= now else TaskState.SCHEDULED).value
    if field.QUEUE in given and given[field.QUEUE] != document[field.QUEUE]:
        written[field.MOVED_FROM] = document[field.QUEUE]
    if give_up:
        removed |= _HOLD
        grown[field.UNCHARGED] = 1
    return {"$set": written, "$inc": grown} | ({"$unset": removed} if removed else {})


def depended() -> Update:
    """Written, so that whoever changes it meanwhile meets this; no new version, so that many may depend on it."""
    return {"$inc": {field.DEPENDED: 1}}


def not_depended() -> list[Update]:
    """Take the last `depended` back, without a trace."""
    count = f"${field.DEPENDED}"
    before = {"$cond": [{"$gt": [count, 1]}, {"$subtract": [count, 1]}, "$$REMOVE"]}
    return [{"$set": {field.DEPENDED: before}}]


def applied(document: Document, update: Update) -> Document:
    """The document as it is after an update of plain `$set`, `$inc` and `$unset`."""
    after = {name: value for name, value in document.items() if name not in update.get("$unset", ())}
    after |= update["$set"]
    return after | {name: after.get(name, 0) + growth for name, growth in update["$inc"].items()}


def _duration(given: Any) -> timedelta:
    return given if isinstance(given, timedelta) else timedelta(seconds=given)


def rerun(now: datetime, *, home: bool = False) -> list[Update]:
    """Ready once more with a fresh count of attempts, and `home` where it came from.

    A pipeline, because it copies fields; what it writes itself is no user's value.
    """
    written = {
        field.STATE: TaskState.READY.value,
        field.MODIFIED_AT: now,
        field.UNCHARGED: {"$ifNull": [f"${field.ATTEMPTS}", 0]},
        field.VERSION: {"$add": [f"${field.VERSION}", 1]},
    }
    removed = [field.FINISHED_AT, field.PURGE_AT, field.SUSPECT, field.CANCEL_REQUESTED]
    if home:
        written[field.QUEUE] = f"${field.MOVED_FROM}"
        removed.append(field.MOVED_FROM)
    return [{"$set": written}, {"$unset": removed}]


def cancel_requested() -> Update:
    """Its worker is asked to stop. No new version: the worker's own writes must still fit."""
    return {"$set": {field.CANCEL_REQUESTED: True}}


def moved(to: str, queue: str, attempts: int, now: datetime) -> Update:
    """In another queue, still waiting, with a fresh count of attempts."""
    written = {field.QUEUE: to, field.MOVED_FROM: queue, field.MODIFIED_AT: now}
    if attempts:
        written[field.UNCHARGED] = attempts
    return {"$set": written, "$inc": {field.VERSION: 1}}


def adjusted(now: datetime, *, priority: int | None, run_at: datetime | None, expires_at: datetime | None) -> Update:
    """With another place in its queue; what is None stays as it is."""
    written: dict[str, Any] = {field.MODIFIED_AT: now}
    if priority is not None:
        written[field.PRIORITY] = priority
    if run_at is not None:
        written[field.RUN_AT] = run_at
        written[field.STATE] = (TaskState.READY if run_at <= now else TaskState.SCHEDULED).value
    if expires_at is not None:
        written[field.EXPIRES_AT] = expires_at
    return {"$set": written, "$inc": {field.VERSION: 1}}
