"""The documents of flow: what a child, a parent and a member bear, and the filters and updates that move them.

A child bears all its `parents`, and in `after` those that have not ended. A parent bears `children`: "awaited" from
when a child was enqueued, "settled" once its end was told to its children. So a finished task that is "awaited" is
one whose children are still to be looked for; an index holds these alone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from mongoq.core.lifecycle import FINISHED, LIVE, TaskState
from mongoq.flow.given import CANCEL, RUN, WAIT
from mongoq.storage.commands import Document, Filter, Update
from mongoq.storage.documents import fields

if TYPE_CHECKING:
    from mongoq.core.tasks.new_task import NewTask

AWAITED: Final = "awaited"
SETTLED: Final = "settled"
KEPT: Final = timedelta(days=30)
"""The longest that a finished task is kept for those who wait for it; a batch may be left open for ever."""
RESULTS_KEPT: Final = timedelta(hours=1)
"""The least that a parent is kept after its children were released: they read its result when they run."""
_LIVE: Final = {"$in": [state.value for state in LIVE]}
_FINISHED: Final = {"$in": [state.value for state in FINISHED]}


def join(document: Document, new: NewTask, now: datetime) -> None:
    """Give a new document its parents and its batch; one with parents is parked until they were looked at."""
    if new.batch is not None:
        document[fields.BATCH] = new.batch
    if new.after:
        document |= {
            fields.STATE: TaskState.PARKED.value, fields.PARENTS: list(new.after), fields.AFTER: list(new.after),
            fields.UNCHECKED: now,
        }  # fmt: skip
        if new.on_parent_failure != CANCEL:
            document[fields.ON_PARENT_FAILURE] = new.on_parent_failure


def kept(update: Update, now: datetime, keep: timedelta) -> Update:
    """An ending of a task that others wait for: it is kept for them first, and then for as long as it is to be."""
    written = {**update["$set"], fields.KEEP: keep.total_seconds(), fields.PURGE_AT: now + max(keep, KEPT)}
    return {**update, "$set": written}


def is_awaited(document: Document) -> bool:
    """Whether somebody waits for the end of this task: children, or a batch."""
    return fields.CHILDREN in document or fields.BATCH in document


def related(parent: str | None, batch: str | None) -> Filter:
    """The children of a task, and the members of a batch, where one is given."""
    chosen = {fields.PARENTS: parent, fields.BATCH: batch}
    return {name: {"$eq": key} for name, key in chosen.items() if key is not None}


def live(keys: Sequence[str]) -> Filter:
    """Those of these tasks that have not ended."""
    return {fields.KEY: {"$in": list(keys)}, fields.STATE: _LIVE}


def unsettled(keys: Sequence[str] | None = None) -> Filter:
    """Finished tasks whose children are still to be told; the states as the index has them."""
    chosen: Filter = {} if keys is None else {fields.KEY: {"$in": list(keys)}}
    return {**chosen, fields.STATE: _FINISHED, fields.CHILDREN: AWAITED}


def children(completed: Collection[str], failed: Collection[str]) -> Filter:
    """The children that the end of these parents moves; one that waits for a failed parent to complete is not."""
    moved: list[Filter] = []
    if completed:
        moved.append({fields.AFTER: {"$in": list(completed)}})
    if failed:
        moved.append({fields.AFTER: {"$in": list(failed)}, fields.ON_PARENT_FAILURE: {"$ne": WAIT}})
    return {
        fields.PARENTS: {"$in": [*completed, *failed]},
        fields.STATE: TaskState.PARKED.value,
        **(moved[0] if len(moved) == 1 else {"$or": moved}),
    }


def parked(keys: Sequence[str], **also: Any) -> Filter:
    """Those of these tasks that are parked."""
    return {fields.KEY: {"$in": list(keys)}, fields.STATE: TaskState.PARKED.value, **also}


def told(parents: Collection[str]) -> Update:
    """Take these parents off the list of those that a child waits for."""
    return {"$pull": {fields.AFTER: {"$in": list(parents)}}}


def runs_anyway() -> Filter:
    """Children that run whatever becomes of their parents."""
    return {fields.ON_PARENT_FAILURE: RUN}


def is_due(child: Document, now: datetime) -> bool:
    """Whether a child may run when its parents have ended; one that was due when it was enqueued is, by any clock."""
    run_at = child[fields.RUN_AT]
    return bool(run_at <= now or run_at <= child.get(fields.CREATED_AT, now))


def released(keys: Sequence[str], now: datetime, *, due: bool) -> tuple[Filter, Update]:
    """Those of these children that wait for nobody any more; and how they are released."""
    state = TaskState.READY if due else TaskState.SCHEDULED
    update: Update = {
        "$set": {fields.STATE: state.value, fields.MODIFIED_AT: now},
        "$unset": {fields.AFTER: "", fields.UNCHECKED: ""},
        "$inc": {fields.VERSION: 1},
    }
    return parked(keys, **{fields.AFTER: {"$size": 0}}), update


def settled(now: datetime, keep: float | None, *, free: bool) -> Update:
    """Note that the children of a parent were told; `free` where none waits any more: its days are counted from now."""
    update: Update = {"$set": {fields.CHILDREN: SETTLED}}
    if free and keep is not None:
        update["$set"][fields.PURGE_AT] = purge_at(now, keep)
        update["$unset"] = {fields.KEEP: ""}
    return update


def purge_at(now: datetime, keep: float) -> datetime:
    """When a parent is purged whose last child has been released."""
    return now + max(timedelta(seconds=keep), RESULTS_KEPT)


def revived(now: datetime) -> Update:
    """Let a child that was cancelled because of a parent wait for it once more."""
    gone = (fields.FINISHED_AT, fields.PURGE_AT, fields.KEEP, fields.NOTE)
    return {
        "$set": {fields.STATE: TaskState.PARKED.value, fields.UNCHECKED: now, fields.MODIFIED_AT: now},
        "$unset": dict.fromkeys(gone, ""),
        "$inc": {fields.VERSION: 1},
    }
