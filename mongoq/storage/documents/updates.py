"""The updates: pure functions. They use plain operators, so that a user's value is never read as an expression."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from mongoq.core.lifecycle import FINISHED, Event, TaskState
from mongoq.core.tasks.attempt import Failure
from mongoq.core.validation import whole_milliseconds
from mongoq.storage.commands import Document, Update
from mongoq.storage.documents import encoding, fields, flow, hold

if TYPE_CHECKING:
    from mongoq.core.judging.verdict import Verdict
    from mongoq.core.tasks.modification import Change

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
    """Claim for `worker` until the lease ends; `attempts` grows here and never shrinks."""
    return {
        "$set": {fields.STATE: TaskState.RUNNING.value, fields.HOLD: hold.made(token, worker, now, lease)},
        "$inc": {fields.ATTEMPTS: 1, fields.VERSION: 1},
    }


def renewed(now: datetime, lease: timedelta) -> Update:
    """Extend the lease, unless it lasts longer already: a renewal that arrives late must not take it back.

    The version stays: a renewal must not invalidate a change that another client prepared.
    """
    return {"$max": {fields.LEASE_UNTIL: now + lease}}


def shortened(now: datetime, lease: timedelta) -> Update:
    """Bring a lease back to this length; only with a guard on the end that it has, so that it is not written late."""
    return {"$set": {fields.LEASE_UNTIL: now + lease}}


def once_more(token: str) -> Update:
    """Write a claim's token again: it changes nothing, but waits for a majority as every write does."""
    return {"$set": {fields.TOKEN: token}}


def ended(verdict: Verdict, token: str | None, now: datetime, *, queue: str = "", attempts: int = 0) -> Update:
    """Write `verdict`; `queue` and `attempts` are the task's own, for a move.

    `token` is that of the holder who ends the task. Its mark is stored, so that the ending is recognised when it is
    repeated after a lost reply. A rescue passes None: with a mark, a holder that comes back would take its own late
    ending for accepted.
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
    if verdict.failure is not None:
        written[fields.FAILURE] = verdict.failure.value
    if verdict.event is Event.MOVE:
        written |= {fields.QUEUE: verdict.queue, fields.MOVED_FROM: queue, fields.UNCHARGED: attempts}
    elif not verdict.charged:
        grown[fields.UNCHARGED] = 1
    update: Update = {"$set": written, "$inc": grown, "$unset": _HOLD if verdict.lease_lost else _HOLD | _STREAK}
    if verdict.lease_lost:
        grown[fields.LOST_LEASES] = 1
    if verdict.event is Event.CANCEL:
        update["$unset"] = {**update["$unset"], fields.AGAIN: ""}
    if verdict.error is not None:
        described = encoding.error_document(verdict.error)
        written[fields.LAST_ERROR] = described
        grown[fields.RETRIES] = 1
        update["$push"] = {fields.ERRORS: {"$each": [described], "$slice": -fields.MOST_ERRORS}}
    return update


def mark(token: str, event: Event) -> str:
    """The value of `last_token` that proves an accepted ending."""
    return f"{token}/{event}"


def state_after(verdict: Verdict) -> TaskState:
    """The state that a verdict leads to."""
    if verdict.event is Event.RESCUE:
        return TaskState.READY if verdict.run_at is None else TaskState.SCHEDULED
    return _TARGET[verdict.event]


def promoted(now: datetime) -> Update:
    """Make a scheduled task ready."""
    return {"$set": {fields.STATE: TaskState.READY.value, fields.MODIFIED_AT: now}, "$inc": {fields.VERSION: 1}}


def closed(target: TaskState, now: datetime, keep: timedelta, *, awaited: bool = False) -> Update:
    """End a task that did not run: expired or cancelled; `awaited` where others wait for it, or it is in a batch."""
    update: Update = {
        "$set": {
            fields.STATE: target.value,
            fields.MODIFIED_AT: now,
            fields.FINISHED_AT: now,
            fields.PURGE_AT: now + keep,
        },
        "$inc": {fields.VERSION: 1},
    }
    return flow.kept(update, now, keep) if awaited else update


def set_aside(field: str, why: str, now: datetime, keep: timedelta) -> Update:
    """Fail a document that is malformed in this field; its note says why."""
    update = closed(TaskState.FAILED, now, keep)
    update["$set"] |= {fields.NOTE: f"not a task: {why}", fields.FAILURE: Failure.REFUSED.value}
    if field in (fields.VERSION, fields.PRIORITY, fields.RUN_AT, fields.QUEUE):
        del update["$inc"]
        update["$set"] |= {fields.VERSION: 1, fields.PRIORITY: 0, fields.RUN_AT: now}
    return update


def emptied(now: datetime, keep: timedelta) -> Update:
    """Fail a document that has no room to grow, and drop its content."""
    update = set_aside(fields.VERSION, "it leaves MongoDB no room to write to it; its content was dropped", now, keep)
    update["$unset"] = {fields.PAYLOAD: "", fields.TAGS: "", fields.ERRORS: "", fields.RESULT: ""}
    return update


def later(earliest: datetime, latest: datetime, delay: timedelta) -> datetime:
    """The instant after `delay`, which must not come early: counted from the most that the server's time can be."""
    return latest + delay if delay else earliest


def changed(
    change: Change, document: Document, now: datetime, mark: str, *, give_up: bool, latest: datetime | None = None
) -> Update:
    """Apply `change` to the live task in `document`; `give_up` ends the claim of its holder, uncharged.

    `now` is the least that the server's time can be, `latest` the most.
    """
    given = change.given
    run_at = given.get(fields.RUN_AT) or document[fields.RUN_AT]
    if "delay" in given:
        run_at = whole_milliseconds(later(now, latest or now, _duration(given.pop("delay"))))
    written: dict[str, Any] = {fields.MODIFIED_AT: now, fields.MODIFICATION: mark}
    if earlier := document.get(fields.MODIFICATION):
        known = document.get(fields.MODIFIED_BY)
        written[fields.MODIFIED_BY] = [*(known if isinstance(known, list) else ()), earlier][-fields.MOST_MARKS :]
    grown = {fields.VERSION: 1}
    removed = {name: "" for name, value in given.items() if value is None}
    # The arguments have the names of the fields.
    written |= {name: value for name, value in given.items() if value is not None}
    if change.arrives or give_up:
        # An unchanged value is not written, so that tasks moved alike share one update.
        if run_at != document[fields.RUN_AT]:
            written[fields.RUN_AT] = run_at
        if document[fields.STATE] != TaskState.PARKED:
            written[fields.STATE] = (TaskState.READY if run_at <= now else TaskState.SCHEDULED).value
    if fields.QUEUE in given and given[fields.QUEUE] != document[fields.QUEUE]:
        written[fields.MOVED_FROM] = document[fields.QUEUE]
    if give_up:
        removed |= _HOLD
        grown[fields.UNCHARGED] = 1
    return {"$set": written, "$inc": grown} | ({"$unset": removed} if removed else {})


def depended() -> Update:
    """Write to a task that a change depends on, so that a concurrent change conflicts; the version stays for others."""
    return {"$inc": {fields.DEPENDED: 1}}


def not_depended() -> list[Update]:
    """Undo one `depended`, without a trace."""
    count = f"${fields.DEPENDED}"
    before = {"$cond": [{"$gt": [count, 1]}, {"$subtract": [count, 1]}, "$$REMOVE"]}
    return [{"$set": {fields.DEPENDED: before}}]


def applied(document: Document, update: Update) -> Document:
    """The document as it is after an update of plain `$set`, `$inc` and `$unset`."""
    after = {name: value for name, value in document.items() if name not in update.get("$unset", ())}
    if fields.TOKEN in update.get("$unset", ()):
        after = hold.given_up(after)
    after |= update["$set"]
    return after | {name: after.get(name, 0) + growth for name, growth in update["$inc"].items()}


def _duration(given: Any) -> timedelta:
    return given if isinstance(given, timedelta) else timedelta(seconds=given)


def rerun(now: datetime, *, home: bool = False) -> list[Update]:
    """Make a finished task ready again, with a fresh count of attempts and due at `now`.

    With the old `run_at` it would stand before all that waits, and count as a backlog of its whole age. `home`: in the
    queue that it came from.

    A pipeline, because it copies fields. It writes no value of a user, which it would read as an expression.
    """
    written: dict[str, Any] = {
        fields.STATE: TaskState.READY.value,
        fields.RUN_AT: now,
        fields.MODIFIED_AT: now,
        fields.UNCHARGED: {"$ifNull": [f"${fields.ATTEMPTS}", 0]},
        fields.VERSION: {"$add": [f"${fields.VERSION}", 1]},
        # Remove a past expiry, which would end the task at its next claim. A missing one is less than any date.
        fields.CHILDREN: {"$cond": [{"$ifNull": [f"${fields.CHILDREN}", False]}, flow.AWAITED, "$$REMOVE"]},
        fields.EXPIRES_AT: {"$cond": [{"$lte": [f"${fields.EXPIRES_AT}", now]}, "$$REMOVE", f"${fields.EXPIRES_AT}"]},
    }
    removed = [
        fields.FINISHED_AT,
        fields.PURGE_AT,
        fields.LOST_LEASES,
        fields.AGAIN,
        fields.CANCEL_REQUESTED,
        fields.FAILURE,
        fields.KEEP,
    ]
    if home:
        written[fields.QUEUE] = f"${fields.MOVED_FROM}"
        removed.append(fields.MOVED_FROM)
    return [{"$set": written}, {"$unset": removed}]


def cancel_requested() -> Update:
    """Ask the worker to stop. The version stays, so that the worker's own writes still match."""
    return {"$set": {fields.CANCEL_REQUESTED: True}}


def moved(to: str, queue: str, attempts: int, now: datetime) -> Update:
    """Move a waiting task into another queue, with a fresh count of attempts."""
    written = {fields.QUEUE: to, fields.MOVED_FROM: queue, fields.MODIFIED_AT: now}
    if attempts:
        written[fields.UNCHARGED] = attempts
    return {"$set": written, "$inc": {fields.VERSION: 1}}
