"""Which documents a verb may touch: pure functions, one guard each.

Every write of a claimant is filtered by its token: a task that went to another is not matched, whatever its
former holder believes. No `$or`, `$ne` or `$nin` in anything hot.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from bson import Regex

from mongoq.lifecycle import WAITING, Event, TaskState, sources
from mongoq.storage import documents as field
from mongoq.storage import indexes
from mongoq.storage.commands import Filter

if TYPE_CHECKING:
    from mongoq.modification import TaskRef

SKEW: Final = timedelta(seconds=1)
"""How long rescue waits beyond a lease, for what is left of the clocks' differences."""


def _state(states: Sequence[TaskState]) -> Any:
    return states[0].value if len(states) == 1 else {"$in": [state.value for state in states]}


def _among(values: Collection[str]) -> Any:
    # Never the bare value: a mapping in its place would be read as operators.
    return {"$eq": next(iter(values))} if len(values) == 1 else {"$in": list(values)}


def tagged(where: Mapping[str, Any] | None) -> Filter:
    """Tags by equality, never as operators."""
    return {f"{field.TAGS}.{name}": {"$eq": value} for name, value in (where or {}).items()}


def named(queues: Sequence[str] | None = None, prefix: str | None = None) -> Filter:
    """Tasks of these queues, or of those whose names begin so; of all where neither is given."""
    chosen: dict[str, Any] = {} if queues is None else {"$in": list(queues)}
    if prefix:
        # A range, not a pattern: nothing in it has to be escaped, and an index serves it.
        chosen |= {"$gte": prefix, "$lt": f"{prefix}\U0010ffff"}
    return {field.QUEUE: chosen} if chosen else {}


def ready(queues: Sequence[str], where: Mapping[str, Any] | None = None) -> Filter:
    """What may be claimed from these queues. With the claim index and its order nothing is sorted.

    Tags lie in no index: a claim that asks for some reads each ready task that it passes over.
    """
    return {field.QUEUE: _among(queues), field.STATE: _state(sources(Event.CLAIM)), **tagged(where)}


def ready_unsuspected(queues: Sequence[str], where: Mapping[str, Any] | None = None) -> Filter:
    """The same without suspects; reads each one it passes over, so only used where some stand in the way."""
    return {**ready(queues, where), field.SUSPECT: None}


def claimable(keys: Sequence[str], version: int) -> Filter:
    """These tasks, if each is still as it was found."""
    return {field.KEY: _among(keys), field.STATE: _state(sources(Event.CLAIM)), field.VERSION: version}


def held(keys: Collection[str], tokens: Collection[str]) -> Filter:
    """These tasks, where they are still held under one of these tokens."""
    return {field.KEY: _among(keys), field.TOKEN: _among(tokens), field.STATE: TaskState.RUNNING.value}


def lease_other_than(renewed: Mapping[str, Any]) -> Filter:
    """What a renewal to these values has not reached."""
    return {field.LEASE_UNTIL: {"$ne": renewed[field.LEASE_UNTIL]}}


def unchanged(refs: Sequence[TaskRef], now: datetime) -> Filter:
    """These tasks, if each is at the version that they share and held by nobody else."""
    tokens = [ref.token for ref in refs if ref.token is not None]
    free: list[Filter] = [
        {field.STATE: {"$ne": TaskState.RUNNING.value}},
        {field.LEASE_UNTIL: {"$lte": now - SKEW}},
    ]
    # Found by `_id`, so what else is asked for costs nothing.
    held = [{field.TOKEN: _among(tokens)}] if tokens else []
    return {field.KEY: _among([ref.key for ref in refs]), field.VERSION: refs[0].version, "$or": [*free, *held]}


def by_keys(keys: Sequence[str]) -> Filter:
    """These tasks, whatever their state."""
    return {field.KEY: _among(keys)}


def by_unique(values: Collection[str]) -> Filter:
    """The unfinished tasks with these `unique` values.

    It repeats the index's own filter to the letter: without `$type` the whole collection is scanned.
    """
    guard = indexes.TASKS[indexes.UNIQUE][1]["partialFilterExpression"]
    return {**guard, field.UNIQUE: {**guard[field.UNIQUE], **_among(values)}}


def failed(queue: str | None) -> Filter:
    """The failed tasks, of one queue or of all."""
    return {field.STATE: _state(sources(Event.RERUN))} | ({} if queue is None else {field.QUEUE: {"$eq": queue}})


def away(queue: str) -> Filter:
    """The tasks of an error queue that came from elsewhere and that nobody works on."""
    states = _state([*sources(Event.RERUN), *WAITING])
    return {field.QUEUE: {"$eq": queue}, field.STATE: states, field.MOVED_FROM: {"$type": "string"}}


def due(now: datetime) -> Filter:
    """Scheduled tasks whose time has come."""
    return {field.STATE: _state(sources(Event.PROMOTE)), field.RUN_AT: {"$lte": now}}


def lease_over(now: datetime) -> Filter:
    """Running tasks whose worker did not renew."""
    return {field.STATE: _state(sources(Event.RESCUE)), field.LEASE_UNTIL: {"$lte": now - SKEW}}


def overdue(now: datetime) -> Filter:
    """Waiting tasks that were not completed in time; repeats the index's own filter to the letter."""
    return {field.STATE: indexes.EXPIRABLE[field.STATE], field.EXPIRES_AT: {"$lte": now, "$type": "date"}}


def first_scheduled() -> Filter:
    """All scheduled tasks: the first by its index is the next to fall due. What is no date is nobody's time."""
    return {field.STATE: _state(sources(Event.PROMOTE)), field.RUN_AT: {"$type": "date"}}


def first_running() -> Filter:
    """All running tasks: the first by its index is the next whose lease ends."""
    return {field.STATE: _state(sources(Event.RESCUE)), field.LEASE_UNTIL: {"$type": "date"}}


def first_expirable() -> Filter:
    """All waiting tasks that expire: the first by its index is the next."""
    return dict(indexes.EXPIRABLE)


def not_since(now: datetime) -> Filter:
    """What nobody has written to after `now`."""
    return {field.MODIFIED_AT: {"$not": {"$gt": now}}}


def guarded(keys: Sequence[str], guard: Filter) -> Filter:
    """These tasks, as far as `guard` still holds for them."""
    return {field.KEY: _among(keys), **guard}


def cancellable(key: str) -> Filter:
    """This task, while it waits."""
    return {
        **by_keys([key]),
        field.STATE: _state([s for s in sources(Event.CANCEL) if s is not TaskState.RUNNING]),
    }


def running(key: str) -> Filter:
    """This task, while a worker holds it."""
    return {**by_keys([key]), field.STATE: TaskState.RUNNING.value}


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
        chosen[field.QUEUE] = {"$eq": queue}
    if state is not None:
        chosen[field.STATE] = state.value
    if keys is not None:
        # $in would match by a pattern where it finds one; no key is a pattern.
        chosen[field.KEY] = {"$in": [key for key in keys if not isinstance(key, re.Pattern | Regex)]}
    return chosen


def held_by(claimant: str) -> Filter:
    """What this claimant holds."""
    return {field.STATE: TaskState.RUNNING.value, field.WORKER: {"$eq": claimant}}


def in_states(states: Sequence[TaskState]) -> Filter:
    """Tasks in one of these states."""
    return {field.STATE: _state(states)}


def waiting(key: str, version: int) -> Filter:
    """This task, if it waits and is still as it was found."""
    return {**by_keys([key]), **in_states(WAITING), field.VERSION: version}


def unasked() -> Filter:
    """Running tasks that nobody asked to stop yet."""
    return {field.STATE: TaskState.RUNNING.value, field.CANCEL_REQUESTED: None}


def elsewhere(queue: str) -> Filter:
    """Waiting tasks in any other queue than this one."""
    return {**in_states(WAITING), "$nor": [{field.QUEUE: {"$eq": queue}}]}


def finished_by(instant: datetime) -> Filter:
    """What had finished by then."""
    return {field.FINISHED_AT: {"$lte": instant}}
