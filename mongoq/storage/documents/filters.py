"""The filters: pure functions, each the guard of one operation.

Every write of a claimant is filtered by its token, so it never matches a task that another claimant holds now. Hot
filters use no `$or`, `$ne` or `$nin`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from mongoq.core.lifecycle import WAITING, Event, TaskState, sources
from mongoq.core.serial.natural import natural
from mongoq.storage.commands import Filter
from mongoq.storage.documents import fields, indexes
from mongoq.storage.documents.names import named_as, of_names

if TYPE_CHECKING:
    from mongoq.core.tasks.modification import TaskRef

SKEW: Final = timedelta(seconds=1)
"""How long a rescue waits after the end of a lease: the tolerance for clock skew."""


def _state(states: Sequence[TaskState]) -> Any:
    return states[0].value if len(states) == 1 else {"$in": [state.value for state in states]}


def _among(values: Collection[str]) -> Any:
    # `$eq`, not the bare value: the server would read a mapping as operators.
    return {"$eq": next(iter(values))} if len(values) == 1 else {"$in": list(values)}


def tagged(where: Mapping[str, Any] | None) -> Filter:
    """Match tags by equality; their values are never read as operators."""
    return {f"{fields.TAGS}.{name}": {"$eq": natural(value)} for name, value in (where or {}).items()}


def created_by(instant: datetime) -> Filter:
    """Tasks that were there at this instant, and those that do not say since when they are there."""
    return {fields.CREATED_AT: {"$not": {"$gt": instant}}}


def named(queues: Sequence[str] | None = None, prefix: str | None = None) -> Filter:
    """Tasks of these queues and of the queues with this prefix; of all queues by default."""
    exact: Filter = {} if queues is None else {fields.QUEUE: {"$in": list(queues)}}
    if not prefix:
        return exact
    # A range instead of a regular expression: nothing to escape, and an index serves it.
    begins = {fields.QUEUE: {"$gte": prefix, "$lt": f"{prefix}\U0010ffff"}}
    return {"$or": [exact, begins]} if exact else begins


def ready(
    queues: Sequence[str],
    where: Mapping[str, Any] | None = None,
    names: Sequence[str] = (),
    without: Sequence[Filter] = (),
    least: int | None = None,
) -> Filter:
    """Tasks of these queues that may be claimed; the claim index returns them in order, without a sort.

    With `names` only tasks of these, by an index of their own. No index covers tags: a claim with `where` reads every
    ready task that it passes over, and one `without` some those of these.
    """
    chosen = {fields.QUEUE: _among(queues), fields.STATE: _state(sources(Event.CLAIM)), **tagged(where)}
    chosen |= {} if least is None else {fields.PRIORITY: {"$gte": least}}
    return chosen | ({"$nor": list(without)} if without else {}) | (of_names(names) if names else {})


def unlost() -> Filter:
    """Tasks that are no suspects; a claim reads every suspect by it, so use it only when it met too many of them."""
    return {fields.LOST_LEASES: None}


def claimable(keys: Sequence[str], version: int, *, parked: bool = False) -> Filter:
    """These tasks, if each is still ready, or parked, and has not changed since it was read."""
    state = _state(sources(Event.ADMIT if parked else Event.CLAIM))
    return {fields.KEY: _among(keys), fields.STATE: state, fields.VERSION: version}


def held(keys: Collection[str], tokens: Collection[str]) -> Filter:
    """Those of these tasks that are still held under one of these tokens."""
    return {fields.KEY: _among(keys), fields.TOKEN: _among(tokens), fields.STATE: TaskState.RUNNING.value}


def lease_before(until: datetime) -> Filter:
    """Tasks that a renewal to this end has not reached."""
    return {fields.LEASE_UNTIL: {"$not": {"$gte": until}}}


def held_until(keys: Collection[str], tokens: Collection[str], until: datetime) -> Filter:
    """Those of these tasks that are held, and whose lease still has this end."""
    return {**held(keys, tokens), fields.LEASE_UNTIL: until}


def unchanged(refs: Sequence[TaskRef], now: datetime) -> Filter:
    """These tasks, if each still has the version that they share and no other claimant holds it."""
    tokens = [ref.token for ref in refs if ref.token is not None]
    free: list[Filter] = [
        {fields.STATE: {"$ne": TaskState.RUNNING.value}},
        {fields.LEASE_UNTIL: {"$lte": now - SKEW}},
    ]
    # `_id` finds the documents, so `$or` and `$ne` cost nothing here.
    held = [{fields.TOKEN: _among(tokens)}] if tokens else []
    return {fields.KEY: _among([ref.key for ref in refs]), fields.VERSION: refs[0].version, "$or": [*free, *held]}


def by_keys(keys: Sequence[str]) -> Filter:
    """These tasks, whatever their state."""
    return {fields.KEY: _among(keys)}


def by_unique(values: Collection[str]) -> Filter:
    """The unfinished tasks with these `unique` values.

    It repeats the partial filter of the index literally: without its `$type` the server scans the collection.
    """
    guard = indexes.TASKS[indexes.UNIQUE][1]["partialFilterExpression"]
    return {**guard, fields.UNIQUE: {**guard[fields.UNIQUE], **_among(values)}}


def away(queue: str) -> Filter:
    """The tasks of an error queue that were moved there and are not running."""
    states = _state([TaskState.FAILED, *WAITING])
    return {fields.QUEUE: {"$eq": queue}, fields.STATE: states, fields.MOVED_FROM: {"$type": "string"}}


def due(now: datetime) -> Filter:
    """Scheduled tasks that are due."""
    return {fields.STATE: _state(sources(Event.PROMOTE)), fields.RUN_AT: {"$lte": now}}


def lease_over(now: datetime) -> Filter:
    """Running tasks whose lease has expired."""
    return {fields.STATE: _state(sources(Event.RESCUE)), fields.LEASE_UNTIL: {"$lte": now - SKEW}}


def held_beyond(instant: datetime) -> Filter:
    """Running tasks whose lease ends later."""
    return {fields.STATE: _state(sources(Event.RESCUE)), fields.LEASE_UNTIL: {"$gt": instant}}


def overdue(now: datetime) -> Filter:
    """Waiting tasks past their `expires_at`; repeats the partial filter of the index literally."""
    return {fields.STATE: indexes.EXPIRABLE[fields.STATE], fields.EXPIRES_AT: {"$lte": now, "$type": "date"}}


def purgeable(now: datetime) -> Filter:
    """Finished tasks that are to be removed by then."""
    return {fields.PURGE_AT: {"$lte": now}}


def first_scheduled() -> Filter:
    """All scheduled tasks with a date in `run_at`: the first by the index is the next to fall due."""
    return {fields.STATE: _state(sources(Event.PROMOTE)), fields.RUN_AT: {"$type": "date"}}


def first_running() -> Filter:
    """All running tasks: the first by the index is the next whose lease ends."""
    return {fields.STATE: _state(sources(Event.RESCUE)), fields.LEASE_UNTIL: {"$type": "date"}}


def first_expirable() -> Filter:
    """All waiting tasks that can expire: the first by the index is the next to do so."""
    return dict(indexes.EXPIRABLE)


def not_since(now: datetime) -> Filter:
    """Tasks that were not written to after `now`."""
    return {fields.MODIFIED_AT: {"$not": {"$gt": now}}}


def seen_before(now: datetime) -> Filter:
    """A worker's heartbeat, unless there is a newer one."""
    return {"seen_at": {"$not": {"$gt": now}}}


def guarded(keys: Sequence[str], guard: Filter) -> Filter:
    """Those of these tasks that still pass `guard`."""
    return {fields.KEY: _among(keys), **guard}


def cancellable(key: str) -> Filter:
    """This task, while it waits."""
    return {
        **by_keys([key]),
        fields.STATE: _state([s for s in sources(Event.CANCEL) if s is not TaskState.RUNNING]),
    }


def unasked_since(keys: Sequence[str], version: int | None) -> Filter:
    """Those of these tasks that run in the claim that was read at this version, without a cancel request.

    A request that arrives late must not reach a later claim. None: in any claim.
    """
    return {**by_keys(keys), **unasked()} | ({} if version is None else {fields.VERSION: version})


def matching(
    *,
    queue: str | None = None,
    state: TaskState | None = None,
    keys: Sequence[str] | None = None,
    where: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Filter:
    """Tasks with all of these properties; tag values are never read as operators."""
    chosen = tagged(where)
    if name is not None:
        chosen |= named_as(name)
    if queue is not None:
        chosen[fields.QUEUE] = {"$eq": queue}
    if state is not None:
        chosen[fields.STATE] = state.value
    if keys is not None:
        # `$in` would match by a compiled pattern; a key is never one.
        chosen[fields.KEY] = {"$in": [key for key in keys if not hasattr(key, "pattern")]}
    return chosen


def held_by(claimant: str) -> Filter:
    """The tasks that this claimant holds."""
    return {fields.STATE: TaskState.RUNNING.value, fields.WORKER: {"$eq": claimant}}


def in_states(states: Sequence[TaskState]) -> Filter:
    """Tasks in one of these states."""
    return {fields.STATE: _state(states)}


def waiting(key: str, version: int) -> Filter:
    """This task, if it waits and has not changed since it was read."""
    return {**by_keys([key]), **in_states(WAITING), fields.VERSION: version}


def unasked() -> Filter:
    """Running tasks without a cancel request."""
    return {fields.STATE: TaskState.RUNNING.value, fields.CANCEL_REQUESTED: None}


def elsewhere(queue: str) -> Filter:
    """Waiting tasks in any other queue than this one."""
    return {**in_states(WAITING), "$nor": [{fields.QUEUE: {"$eq": queue}}]}


def finished_by(instant: datetime) -> Filter:
    """Tasks that had finished by then."""
    return {fields.FINISHED_AT: {"$lte": instant}}
