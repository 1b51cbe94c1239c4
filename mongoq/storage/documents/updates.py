"""What a verb writes: pure functions, plain operators, so that a user's value is never read as an expression."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from mongoq.core.lifecycle import FINISHED, Event, TaskState
from mongoq.core.validation import whole_milliseconds
from mongoq.storage.commands import Document, Update
from mongoq.storage.documents import encoding, fields

if TYPE_CHECKING:
    from mongoq.core.modification import Change
    from mongoq.core.verdict import Verdict

_HOLD: Final = {fields.TOKEN: "", fields.LEASE_UNTIL: ""}
_STREAK: Final = {fields.LOST_LEASES: ""}

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
            fields.STATE: TaskState.RUNNING.value,
            fields.TOKEN: token,
            fields.WORKER: worker,
            fields.LEASE_UNTIL: now + lease,
            fields.STARTED_AT: now,
            fields.MODIFIED_AT: now,
        },
        "$inc": {fields.ATTEMPTS: 1, fields.VERSION: 1},
    }


def renewed(now: datetime, lease: timedelta) -> Update:
    """Held longer. No new version: a renewal must not spoil what another prepared."""
    return {"$set": {fields.LEASE_UNTIL: now + lease}}


def once_more(token: str) -> Update:
    """A claim's token once more: it changes nothing, but is answered like every write."""
    return {"$set": {fields.TOKEN: token}}


def ended(verdict: Verdict, token: str | None, now: datetime, *, queue: str = "", attempts: int = 0) -> Update:
    """What `verdict` asks for; `queue` and `attempts` are the task's own, for a move.

    `token` is the holder's whose ending this is: its mark stays, so that an ending whose reply was lost is
    recognised when it is repeated. A rescue is nobody's ending and leaves none, or the holder who comes back
    would be told that its own late ending was accepted.
    """
    target = state_after(verdict)
    written: dict[str, Any] = {fields.STATE: target.value, fields.MODIFIED_AT: now}
    if token is not None:
        written[fields.LAST_TOKEN] = mark(token, verdict.event)
    grown = {fields.VERSION: 1}
    if target in FINISHED:
        written[fields.FINISHED_AT] = now
        if verdict.keep is not None:
            written[fields.PURGE_AT] = now + verdict.keep
    said = ((fields.RUN_AT, verdict.run_at), (fields.RESULT, verdict.result), (fields.NOTE, verdict.note))
    written |= {name: value for name, value in said if value is not None}
    if verdict.event is Event.MOVE:
        written |= {fields.QUEUE: verdict.queue, fields.MOVED_FROM: queue, fields.UNCHARGED: attempts}
    elif not verdict.charged:
        grown[fields.UNCHARGED] = 1
    update: Update = {"$set": written, "$inc": grown, "$unset": _HOLD if verdict.lease_lost else _HOLD | _STREAK}
    if verdict.lease_lost:
        grown[fields.LOST_LEASES] = 1
    if verdict.error is not None:
        described = encoding.error_document(verdict.error)
        written[fields.LAST_ERROR] = described
        grown[fields.RETRIES] = 1
        update["$push"] = {fields.ERRORS: {"$each": [described], "$slice": -fields.MOST_ERRORS}}
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
    return {"$set": {fields.STATE: TaskState.READY.value, fields.MODIFIED_AT: now}, "$inc": {fields.VERSION: 1}}


def closed(target: TaskState, now: datetime, keep: timedelta) -> Update:
    """Ended without having run: expired or cancelled."""
    return {
        "$set": {
            fields.STATE: target.value,
            fields.MODIFIED_AT: now,
            fields.FINISHED_AT: now,
            fields.PURGE_AT: now + keep,
        },
        "$inc": {fields.VERSION: 1},
    }


def quarantined(fault: str, now: datetime, keep: timedelta) -> Update:
    """Failed without having run: the document is no task."""
    update = closed(TaskState.FAILED, now, keep)
    update["$set"][fields.NOTE] = f"not a task: the field {fault} is missing or of a wrong type"
    if fault in (fields.VERSION, fields.PRIORITY, fields.RUN_AT, fields.QUEUE):
        del update["$inc"]
        update["$set"] |= {fields.VERSION: 1, fields.PRIORITY: 0, fields.RUN_AT: now}
    return update


def emptied(now: datetime, keep: timedelta) -> Update:
    """Failed without having run, and without its content: with it the document cannot hold one byte more."""
    update = quarantined(fields.VERSION, now, keep)
    update["$set"][fields.NOTE] = "not a task: it leaves MongoDB no room to write to it; its content was dropped"
    update["$unset"] = {fields.PAYLOAD: "", fields.TAGS: "", fields.ERRORS: "", fields.RESULT: ""}
    return update


def changed(change: Change, document: Document, now: datetime, mark: str, *, give_up: bool) -> Update:
    """What `change` asks for of the live task in `document`; `give_up` takes the hold of whoever has it."""
    given = change.given
    run_at = given.get(fields.RUN_AT) or document[fields.RUN_AT]
    if "delay" in given:
        run_at = whole_milliseconds(now + _duration(given.pop("delay")))
    written: dict[str, Any] = {fields.MODIFIED_AT: now, fields.MODIFICATION: mark}
    grown = {fields.VERSION: 1}
    removed = {name: "" for name, value in given.items() if value is None}
    # The arguments are named like the fields.
    written |= {name: value for name, value in given.items() if value is not None}
    if change.arrives or give_up:
        # What stays is not written, so that tasks moved alike share one update.
        if run_at != document[fields.RUN_AT]:
            written[fields.RUN_AT] = run_at
        written[fields.STATE] = (TaskState.READY if run_at <= now else TaskState.SCHEDULED).value
    if fields.QUEUE in given and given[fields.QUEUE] != document[fields.QUEUE]:
        written[fields.MOVED_FROM] = document[fields.QUEUE]
    if give_up:
        removed |= _HOLD
        grown[fields.UNCHARGED] = 1
    return {"$set": written, "$inc": grown} | ({"$unset": removed} if removed else {})


def depended() -> Update:
    """Written, so that whoever changes it meanwhile meets this; no new version, so that many may depend on it."""
    return {"$inc": {fields.DEPENDED: 1}}


def not_depended() -> list[Update]:
    """Take the last `depended` back, without a trace."""
    count = f"${fields.DEPENDED}"
    before = {"$cond": [{"$gt": [count, 1]}, {"$subtract": [count, 1]}, "$$REMOVE"]}
    return [{"$set": {fields.DEPENDED: before}}]


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
    written: dict[str, Any] = {
        fields.STATE: TaskState.READY.value,
        fields.MODIFIED_AT: now,
        fields.UNCHARGED: {"$ifNull": [f"${fields.ATTEMPTS}", 0]},
        fields.VERSION: {"$add": [f"${fields.VERSION}", 1]},
        # A missing expiry is less than any instant. One that has passed would end the task at its next claim.
        fields.EXPIRES_AT: {"$cond": [{"$lte": [f"${fields.EXPIRES_AT}", now]}, "$$REMOVE", f"${fields.EXPIRES_AT}"]},
    }
    removed = [fields.FINISHED_AT, fields.PURGE_AT, fields.LOST_LEASES, fields.CANCEL_REQUESTED]
    if home:
        written[fields.QUEUE] = f"${fields.MOVED_FROM}"
        removed.append(fields.MOVED_FROM)
    return [{"$set": written}, {"$unset": removed}]


def cancel_requested() -> Update:
    """Its worker is asked to stop. No new version: the worker's own writes must still fit."""
    return {"$set": {fields.CANCEL_REQUESTED: True}}


def moved(to: str, queue: str, attempts: int, now: datetime) -> Update:
    """In another queue, still waiting, with a fresh count of attempts."""
    written = {fields.QUEUE: to, fields.MOVED_FROM: queue, fields.MODIFIED_AT: now}
    if attempts:
        written[fields.UNCHARGED] = attempts
    return {"$set": written, "$inc": {fields.VERSION: 1}}


def adjusted(now: datetime, *, priority: int | None, run_at: datetime | None, expires_at: datetime | None) -> Update:
    """With another place in its queue; what is None stays as it is."""
    written: dict[str, Any] = {fields.MODIFIED_AT: now}
    if priority is not None:
        written[fields.PRIORITY] = priority
    if run_at is not None:
        written[fields.RUN_AT] = run_at
        written[fields.STATE] = (TaskState.READY if run_at <= now else TaskState.SCHEDULED).value
    if expires_at is not None:
        written[fields.EXPIRES_AT] = expires_at
    return {"$set": written, "$inc": {fields.VERSION: 1}}
