"""Which documents a verb may touch: pure functions, one guard each.

Every write of a claimant is filtered by its token: a task that went to another is not matched, whatever its
former holder believes. No `$or`, `$ne` or `$nin` in anything hot.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from mongoq.core.lifecycle import WAITING, Event, TaskState, sources
from mongoq.storage.commands import Filter
from mongoq.storage.documents import fields, indexes

if TYPE_CHECKING:
    from mongoq.core.modification import TaskRef

SKEW: Final = timedelta(seconds=1)
"""How long rescue waits beyond a lease, for what is left of the clocks' differences."""


def _state(states: Sequence[TaskState]) -> Any:
    return states[0].value if len(states) == 1 else {"$in": [state.value for state in states]}


def _among(values: Collection[str]) -> Any:
    # Never the bare value: a mapping in its place would be read as operators.
    return {"$eq": next(iter(values))} if len(values) == 1 else {"$in": list(values)}


def tagged(where: Mapping[str, Any] | None) -> Filter:
    """Tags by equality, never as operators."""
    return {f"{fields.TAGS}.{name}": {"$eq": value} for name, value in (where or {}).items()}


def named(queues: Sequence[str] | None = None, prefix: str | None = None) -> Filter:
    """Tasks of these queues, or of those whose names begin so; of all where neither is given."""
    chosen: dict[str, Any] = {} if queues is None else {"$in": list(queues)}
    if prefix:
        # A range, not a pattern: nothing in it has to be escaped, and an index serves it.
        chosen |= {"$gte": prefix, "$lt": f"{prefix}\U0010ffff"}
    return {fields.QUEUE: chosen} if chosen else {}


def ready(queues: Sequence[str], where: Mapping[str, Any] | None = None) -> Filter:
    """What may be claimed from these queues. With the claim index and its order nothing is sorted.

    Tags lie in no index: a claim that asks for some reads each ready task that it passes over.
    """
    return {fields.QUEUE: _among(queues), fields.STATE: _state(sources(Event.CLAIM)), **tagged(where)}


def ready_unlost(queues: Sequence[str], where: Mapping[str, Any] | None = None) -> Filter:
    """The same without suspects; reads each one it passes over, so only used where some stand in the way."""
    return {**ready(queues, where), fields.LOST_LEASES: None}


def claimable(keys: Sequence[str], version: int) -> Filter:
    """These tasks, if each is still as it was found."""
    return {fields.KEY: _among(keys), fields.STATE: _state(sources(Event.CLAIM)), fields.VERSION: version}


def held(keys: Collection[str], tokens: Collection[str]) -> Filter:
    """These tasks, where they are still held under one of these tokens."""
    return {fields.KEY: _among(keys), fields.TOKEN: _among(tokens), fields.STATE: TaskState.RUNNING.value}


def lease_other_than(renewed: Mapping[str, Any]) -> Filter:
    """What a renewal to these values has not reached."""
    return {fields.LEASE_UNTIL: {"$ne": renewed[fields.LEASE_UNTIL]}}


def unchanged(refs: Sequence[TaskRef], now: datetime) -> Filter:
    """These tasks, if each is at the version that they share and held by nobody else."""
    tokens = [ref.token for ref in refs if ref.token is not None]
    free: list[Filter] = [
        {fields.STATE: {"$ne": TaskState.RUNNING.value}},
        {fields.LEASE_UNTIL: {"$lte": now - SKEW}},
    ]
    # Found by `_id`, so what else is asked for costs nothing.
    held = [{fields.TOKEN: _among(tokens)}] if tokens else []
    return {fields.KEY: _among([ref.key for ref in refs]), fields.VERSION: refs[0].version, "$or": [*free, *held]}


def by_keys(keys: Sequence[str]) -> Filter:
    """These tasks, whatever their state."""
    return {fields.KEY: _among(keys)}


def by_unique(values: Collection[str]) -> Filter:
    """The unfinished tasks with these `unique` values.

    It repeats the index's own filter to the letter: without `$type` the whole collection is scanned.
    """
    guard = indexes.TASKS[indexes.UNIQUE][1]["partialFilterExpression"]
    return {**guard, fields.UNIQUE: {**guard[fields.UNIQUE], **_among(values)}}


def finished_as(state: TaskState, queue: str | None) -> Filter:
    """The tasks that have finished so, of one queue or of all."""
    return {fields.STATE: state.value} | ({} if queue is None else {fields.QUEUE: {"$eq": queue}})


def away(queue: str) -> Filter:
    """The tasks of an error queue that came from elsewhere and that nobody works on."""
    states = _state([TaskState.FAILED, *WAITING])
    return {fields.QUEUE: {"$eq": queue}, fields.STATE: states, fields.MOVED_FROM: {"$type": "string"}}


def due(now: datetime) -> Filter:
    """Scheduled tasks whose time has come."""
    return {fields.STATE: _state(sources(Event.PROMOTE)), fields.RUN_AT: {"$lte": now}}


def lease_over(now: datetime) -> Filter:
    """Running tasks whose worker did not renew."""
    return {fields.STATE: _state(sources(Event.RESCUE)), fields.LEASE_UNTIL: {"$lte": now - SKEW}}


def overdue(now: datetime) -> Filter:
    """Waiting tasks that were not completed in time; repeats the index's own filter to the letter."""
    return {fields.STATE: indexes.EXPIRABLE[fields.STATE], fields.EXPIRES_AT: {"$lte": now, "$type": "date"}}


def first_scheduled() -> Filter:
    """All scheduled tasks: the first by its index is the next to fall due. What is no date is nobody's time."""
    return {fields.STATE: _state(sources(Event.PROMOTE)), fields.RUN_AT: {"$type": "date"}}


def first_running() -> Filter:
    """All running tasks: the first by its index is the next whose lease ends."""
    return {fields.STATE: _state(sources(Event.RESCUE)), fields.LEASE_UNTIL: {"$type": "date"}}


def first_expirable() -> Filter:
    """All waiting tasks that expire: the first by its index is the next."""
    return dict(indexes.EXPIRABLE)


def not_since(now: datetime) -> Filter:
    """What nobody has written to after `now`."""
    return {fields.MODIFIED_AT: {"$not": {"$gt": now}}}


def guarded(keys: Sequence[str], guard: Filter) -> Filter:
    """These tasks, as far as `guard` still holds for them."""
    return {fields.KEY: _among(keys), **guard}


def cancellable(key: str) -> Filter:
    """This task, while it waits."""
    return {
        **by_keys([key]),
        fields.STATE: _state([s for s in sources(Event.CANCEL) if s is not TaskState.RUNNING]),
    }


def running(key: str) -> Filter:
    """This task, while a worker holds it."""
    return {**by_keys([key]), fields.STATE: TaskState.RUNNING.value}


def matching(
    *,
    queue: str | None = None,
    state: TaskState | None = None,
    keys: Sequence[str] | None = None,
    where: Mapping[str, Any] | None = None,
) -> Filter:
    """What a listing or a change of many tasks asks for; tags by equality, never as operators."""
    chosen = tagged(where)
    if queue is not None:
        chosen[fields.QUEUE] = {"$eq": queue}
    if state is not None:
        chosen[fields.STATE] = state.value
    if keys is not None:
        # $in would match by a pattern where it finds one; no key is a pattern.
        chosen[fields.KEY] = {"$in": [key for key in keys if not hasattr(key, "pattern")]}
    return chosen


def held_by(claimant: str) -> Filter:
    """What this claimant holds."""
    return {fields.STATE: TaskState.RUNNING.value, fields.WORKER: {"$eq": claimant}}


def in_states(states: Sequence[TaskState]) -> Filter:
    """Tasks in one of these states."""
    return {fields.STATE: _state(states)}


def waiting(key: str, version: int) -> Filter:
    """This task, if it waits and is still as it was found."""
    return {**by_keys([key]), **in_states(WAITING), fields.VERSION: version}


def unasked() -> Filter:
    """Running tasks that nobody asked to stop yet."""
    return {fields.STATE: TaskState.RUNNING.value, fields.CANCEL_REQUESTED: None}


def elsewhere(queue: str) -> Filter:
    """Waiting tasks in any other queue than this one."""
    return {**in_states(WAITING), "$nor": [{fields.QUEUE: {"$eq": queue}}]}


def finished_by(instant: datetime) -> Filter:
    """What had finished by then."""
    return {fields.FINISHED_AT: {"$lte": instant}}
