"""The document of a batch: its callback, a task that stays parked until the last member has ended.

So a batch is called back by one update of one document, which asks that it is parked: once, whatever is repeated. And
the callback of a nested batch is a member of the batch around it, which therefore waits for it.

In the field `callback` stand: `open`; `then` and `on_failure`, the tasks that it may become; `look_at`, when a sweep
looks at it; `seal`, a mark that a closed batch bears until somebody adds a member; and `called_at`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from mongoq.core.judging.follow_up import FollowUp
from mongoq.core.lifecycle import FINISHED, LIVE, TaskState
from mongoq.flow.batch import Batch
from mongoq.storage.commands import Document, Filter, Update
from mongoq.storage.documents import fields, flow
from mongoq.storage.documents.codec import in_utc

LOOK_EVERY: Final = timedelta(seconds=30)
"""A batch whose last member's end was not followed by a look, because of a crash, is late by this at most."""
BECOMES: Final = ("then", "on_failure")
"""The fields of `callback` with what it may become."""
LOOK_AT: Final = f"{fields.CALLBACK}.look_at"
_OPEN: Final = f"{fields.CALLBACK}.open"
SEAL: Final = f"{fields.CALLBACK}.seal"
_CALLED_AT: Final = f"{fields.CALLBACK}.called_at"
_PARKED: Final = {fields.STATE: TaskState.PARKED.value}
MEMBERS: Final = "members"
_LEFT: Final = "members_left"
_LIVE: Final = {"$in": [state.value for state in LIVE]}
_FINISHED: Final = {"$in": [state.value for state in FINISHED]}


def opened(model: Document, then: FollowUp | None, on_failure: FollowUp | None, now: datetime) -> Document:
    """Make the document of a new task that of a batch."""
    what = {"then": then and then.as_spec(), "on_failure": on_failure and on_failure.as_spec()}
    callback = {"open": True, "look_at": now + LOOK_EVERY} | {name: spec for name, spec in what.items() if spec}
    return {**model, **_PARKED, fields.CALLBACK: callback}


def called(key: str) -> Filter:
    """The batch of this key."""
    return {fields.KEY: {"$eq": key}, fields.CALLBACK: {"$exists": True}}


def taking(key: str) -> Filter:
    """This batch, if it takes new members."""
    return {**called(key), **_PARKED}


def is_open(key: str) -> Filter:
    """This batch, if it is open."""
    return {**called(key), **_PARKED, _OPEN: True}


def closed(seal: str) -> Update:
    """Close a batch, to which nobody adds a member as long as it bears this seal."""
    return {"$set": {_OPEN: False, SEAL: seal}}


def joined(mark: str) -> Update:
    """Write to a batch, so that a transaction that adds members and one that calls back do not both commit."""
    return {"$set": {f"{fields.CALLBACK}.joined": mark}, "$unset": {SEAL: ""}}


def seal_of(document: Document) -> str | None:
    """The seal that a batch bears."""
    seal: str | None = document.get(fields.CALLBACK, {}).get("seal")
    return seal


def broken(key: str) -> tuple[Filter, Update]:
    """Break the seal of a batch, which has got a member."""
    return {**taking(key), SEAL: {"$exists": True}}, {"$unset": {SEAL: ""}}


def sealing(keys: Sequence[str], seal: str) -> tuple[Filter, Update]:
    """Seal those of these batches that are closed, have no seal and have not been called back."""
    where = {fields.KEY: {"$in": list(keys)}, fields.CALLBACK: {"$exists": True}, **_PARKED, _OPEN: False, SEAL: None}
    return where, {"$set": {SEAL: seal}}


def sealed(key: str, seal: str) -> Filter:
    """This batch under this seal, not called back yet."""
    return {**taking(key), _OPEN: False, SEAL: seal}


def becoming(callback: FollowUp, payload: Mapping[str, Any], now: datetime) -> Update:
    """Make the callback of a batch ready."""
    written = {
        fields.STATE: TaskState.READY.value, fields.QUEUE: callback.queue, fields.PRIORITY: callback.priority,
        fields.TAGS: dict(callback.tags), fields.PAYLOAD: dict(payload), fields.RUN_AT: now, fields.MODIFIED_AT: now,
        _CALLED_AT: now, LOOK_AT: now,
    }  # fmt: skip
    if callback.name is not None:
        written[fields.NAME] = callback.name
    return {"$set": written, "$inc": {fields.VERSION: 1}}


def without_callback(update: Update, payload: Mapping[str, Any], now: datetime) -> Update:
    """End the callback of a batch that has none for the way it ended."""
    return {**update, "$set": {**update["$set"], fields.PAYLOAD: dict(payload), _CALLED_AT: now, LOOK_AT: now}}


def due(now: datetime) -> Filter:
    """Batches to look at, called back or not."""
    return {LOOK_AT: {"$lte": now, "$type": "date"}}


def uncalled() -> Filter:
    """Batches that have not called back."""
    return {LOOK_AT: {"$type": "date"}, **_PARKED}


def live_members(key: str) -> Filter:
    """The members of a batch that have not ended."""
    return {fields.BATCH: {"$eq": key}, fields.STATE: _LIVE}


def ended(key: str) -> Filter:
    """The members of a batch that ended."""
    return {fields.BATCH: {"$eq": key}, fields.STATE: _FINISHED}


def over(collection: str, keys: Sequence[str]) -> list[Document]:
    """Find those of these batches that are closed and have no member left, and count how their members have ended.

    In this order: the batch with its seal is read before its members are.
    """
    among = {fields.KEY: {"$in": list(keys)}, fields.CALLBACK: {"$exists": True}, **_PARKED, _OPEN: False}
    only = dict.fromkeys((fields.CALLBACK, fields.BATCH, fields.CHILDREN), 1)
    # From the end, where the members stand that came last: those before them have left deleted keys.
    one: list[Document] = [{"$sort": {fields.BATCH: -1}}, {"$limit": 1}, {"$project": {fields.KEY: 1}}]
    # Four counts take 4 ms of 10,000 members, a group by state 9.
    count: list[Document] = [{"$group": {"_id": None, MEMBERS: {"$sum": 1}}}]
    looks = [_members(collection, state.value, count, ended_as(state)) for state in FINISHED]
    left = [_members(collection, _LIVE, one, _LEFT), {"$match": {_LEFT: []}}]
    return [{"$match": among}, {"$project": only}, *left, *looks]


def guarded(collection: str, pipeline: Sequence[Document]) -> list[Document]:
    """Let the server refuse a pipeline where the index of members is gone, which its first stage has as its hint.

    That stage finds nothing. The pipeline behind it has `$lookup`, which takes no hint and would read all tasks.
    """
    return [{"$match": live_members("")}, {"$unionWith": {"coll": collection, "pipeline": list(pipeline)}}]


def ended_as(state: TaskState) -> str:
    """The field of a row of `over` that tells of the members which ended so."""
    return f"{_LEFT}_{state.value}"


def counts_of(row: Document) -> dict[TaskState, int]:
    """How many members of a batch ended in which way, from a row of `over`."""
    return {state: sum(one[MEMBERS] for one in row[ended_as(state)]) for state in FINISHED}


def _members(collection: str, state: Any, stages: Sequence[Document], name: str) -> Document:
    lookup = {"from": collection, "localField": fields.KEY, "foreignField": fields.BATCH, "as": name}
    return {"$lookup": {**lookup, "pipeline": [{"$match": {fields.STATE: state}}, *stages]}}


def counting(where: Filter) -> list[Document]:
    """Count members by their states."""
    return [{"$match": where}, {"$group": {"_id": f"${fields.STATE}", MEMBERS: {"$sum": 1}}}]


def keeps(key: str) -> list[Document]:
    """For how long members are to be kept, whose days are not counted yet."""
    return [
        {"$match": {**_dateless(key), fields.KEEP: {"$exists": True}}},
        {"$group": {"_id": f"${fields.KEEP}", MEMBERS: {"$sum": 1}}},
    ]


def dating(key: str, keep: float, now: datetime) -> tuple[Filter, Update]:
    """Count the days of the members that are to be kept for so long."""
    purge_at = now + timedelta(seconds=keep)
    update = {"$set": {fields.PURGE_AT: purge_at}, "$unset": {fields.KEEP: ""}}
    return {**_dateless(key), fields.KEEP: keep}, update


def _dateless(key: str) -> Filter:
    return {**ended(key), fields.CHILDREN: {"$ne": flow.AWAITED}}


def batch_from(document: Document, counts: Mapping[str, int]) -> Batch:
    """A batch as it stands."""
    known: Any = document[fields.CALLBACK]
    created_at, called_at = in_utc(document[fields.CREATED_AT]), in_utc(known.get("called_at"))
    runs = called_at is not None and fields.NOTE not in document
    of = {state: counts.get(state.value, 0) for state in TaskState}
    return Batch(
        document[fields.KEY], bool(known.get("open")), document.get(fields.BATCH), created_at,
        called_at, document[fields.KEY] if runs else None,
        of[TaskState.READY] + of[TaskState.SCHEDULED] + of[TaskState.PARKED], of[TaskState.RUNNING],
        of[TaskState.COMPLETED], of[TaskState.FAILED], of[TaskState.CANCELLED], of[TaskState.EXPIRED],
    )  # fmt: skip
