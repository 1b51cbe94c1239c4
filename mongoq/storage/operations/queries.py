"""Read tasks: one, lists and counts. Nothing here writes or delays a worker.

Counts are answered by the partial indexes alone, without reading documents.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from mongoq.core.errors import TaskNotFound, Unsupported
from mongoq.core.lifecycle import FINISHED, LIVE, TaskState
from mongoq.core.stats import QueueStats
from mongoq.core.tasks.task import Task
from mongoq.core.validation import UNSET, shortened
from mongoq.storage.commands import Aggregate, Count, Document, Filter, Find, Op, find, find_one
from mongoq.storage.context import Context
from mongoq.storage.control import Entered, Transact
from mongoq.storage.documents import decoding, fields, filters, indexes
from mongoq.storage.documents.foreign import key_order
from mongoq.storage.documents.names import but_keys
from mongoq.storage.operations.long_work.patience import How, patiently
from mongoq.storage.operations.namespace.orders import admitted, read_if_old

T = TypeVar("T")

FIRST_PAGE: Final = 100
PAGE: Final = 1_000
"""The most tasks that a scan reads at a time."""
_INDEX_OF: Final[Mapping[tuple[TaskState, ...], str]] = {
    (TaskState.READY,): indexes.CLAIM,
    (TaskState.SCHEDULED,): indexes.DUE,
    (TaskState.RUNNING,): indexes.LEASE,
    FINISHED: indexes.FINISHED_AT,
}


def get(context: Context, key: str, *, majority: bool = False) -> Op[Task]:
    """Read the task with this key, without its token: only the claim's own task may act as the holder.

    With `majority` it is told only what no fail-over takes back: for an answer that somebody acts on. A look before a
    write asks for what is there. Raises TaskNotFound when there is none.
    """
    document = yield from find_one(context.tasks, filters.by_keys([key]), without=fields.PROOFS, majority=majority)
    task = document and decoding.task_shown(document, context.namespace, context.clock.now())
    if not task:
        raise TaskNotFound(f"no task has the key {shortened(key)}")
    return task


def tasks(
    context: Context, chosen: Filter, *, claimant: str | None, limit: int, hidden: Sequence[str] = fields.PROOFS
) -> Op[list[Task]]:
    """List the matching tasks by key; generated keys sort in the order of creation."""
    if claimant is not None:
        chosen = {"$and": [chosen, filters.held_by(claimant)]}
    hint = None if claimant is None else indexes.LEASE
    read = Find(
        context.tasks, chosen, without=hidden, sort=[(fields.KEY, 1)], hint=hint, most=limit, majority=True
    )  # fmt: skip
    found: list[Document] = yield from patiently(read)
    return _shown(context, found)


def with_keys(context: Context, keys: Sequence[str]) -> Op[list[Task]]:
    """Read the tasks with these keys that are there, without their tokens."""
    found = yield from find(context.tasks, filters.by_keys(keys), without=fields.PROOFS, hint="_id_")
    return _shown(context, found)


def scan(context: Context, chosen: Filter, after: Any, *, limit: int | None, hidden: Sequence[str]) -> Op[Task]:
    """Enter with the matching tasks after this key (UNSET: with all), one by one, by pages.

    One batch brings a page, so it has at most 16 MiB and may be short: an empty one is the last.
    """
    left, size = math.inf if limit is None else limit, FIRST_PAGE
    while left > 0:
        where = chosen if after is UNSET else {"$and": [chosen, key_order.after(after)]}
        sort, most = [(fields.KEY, 1)], int(min(size, left))
        read = Find(context.tasks, where, without=hidden, sort=sort, limit=most, majority=True)
        found: list[Document] = yield from patiently(read)
        if not found:
            break
        after, size = found[-1][fields.KEY], PAGE
        for task in _shown(context, found):
            left -= 1
            yield Entered(task)
    over: Any = None  # the declared type is that of the values it enters with
    return over  # type: ignore[no-any-return]


def by_key_or_unique(
    context: Context, keys: Collection[str], uniques: Collection[str], only: Sequence[str] | None
) -> Op[tuple[dict[str, Document], dict[str, Document]]]:
    """Read the tasks with these keys, by key, and the unfinished ones with these `unique` values, by value."""
    wanted = None if only is None else [*only, fields.KEY, fields.UNIQUE]
    hidden = fields.PROOFS if only is None else None
    by_key: list[Document] = []
    by_unique: list[Document] = []
    if keys:
        where = filters.by_keys(list(keys))
        by_key = yield from find(context.tasks, where, only=wanted, without=hidden, hint="_id_")
    if uniques:
        where = filters.by_unique(uniques)
        by_unique = yield from find(context.tasks, where, only=wanted, without=hidden, hint=indexes.UNIQUE)
    return (
        {document[fields.KEY]: document for document in by_key},
        {document[fields.UNIQUE]: document for document in by_unique},
    )


def unfinished(context: Context, keys: Sequence[str]) -> Op[list[str]]:
    """Select the keys whose tasks have not finished."""
    where = {**filters.by_keys(keys), **filters.in_states(LIVE)}
    found = yield from find(context.tasks, where, only=[fields.KEY], hint="_id_", majority=True)
    return [document[fields.KEY] for document in found]


def count(context: Context, chosen: Filter) -> Op[int]:
    """Count the matching tasks."""
    number: int = yield from patiently(Count(context.tasks, chosen))
    return number


def empty(context: Context, named: Filter) -> Op[bool]:
    """Whether no task of these queues is unfinished, in one snapshot."""
    yield from read_if_old(context)
    return (yield from _at_once(lambda how: _empty(context, named, how)))


def _empty(context: Context, named: Filter, how: How) -> Op[bool]:
    for states, index in _indexes_of(context).items():
        if states != FINISHED:
            where = {**named, **filters.in_states(states)}
            if (yield Find(context.tasks, where, only=[fields.KEY], hint=index, limit=1, **how)):
                return False
    return True


def stats(context: Context, named: Filter, *, attempts: bool) -> Op[dict[str, QueueStats]]:
    """Count the tasks of each matching queue by state; queues without a task are left out.

    With `attempts` it reads every unfinished task: attempts are in no index, since that would slow every claim.
    """
    counts: dict[str, dict[str, Any]] = defaultdict(dict)
    oldest: dict[str, datetime] = {}
    most: dict[str, int] = {}
    yield from read_if_old(context)
    for states, index in _indexes_of(context).items():
        rows = yield from _grouped(context, {**named, **filters.in_states(states)}, index, attempts=attempts)
        for row in rows:
            queue, state = str(row[fields.KEY].get(fields.QUEUE)), row[fields.KEY][fields.STATE]
            counts[queue][state] = row["count"]
            if isinstance(row.get("oldest"), datetime):  # a foreign producer's may be anything
                oldest[queue] = row["oldest"]
            if "most" in row:
                most[queue] = max(most.get(queue, 0), row["most"] or 0)
    now = context.clock.now()
    waits = {queue: now - instant for queue, instant in oldest.items()}
    return {
        queue: QueueStats(queue, **counts[queue], oldest_ready=waits.get(queue), most_attempts=most.get(queue))
        for queue in sorted(counts)
    }


def ready(
    context: Context,
    queues: Sequence[str],
    where: Mapping[str, Any] | None,
    names: Sequence[str] = (),
    but: Collection[str] = (),
) -> Op[bool]:
    """Whether a claim of these queues would find a task, other than those with the keys `but`."""
    chosen = admitted(context, queues, where, names)
    if chosen is None:
        return False
    only, hint = [fields.KEY], indexes.CLAIM_NAME if names else indexes.CLAIM
    return (yield from find_one(context.tasks, chosen | but_keys(but), only=only, hint=hint)) is not None


def size(context: Context, queue: str | None, states: Sequence[TaskState]) -> Op[int]:
    """Count the tasks in these states, in one snapshot."""
    yield from read_if_old(context)
    return (yield from _at_once(lambda how: _size(context, queue, states, how)))


def _size(context: Context, queue: str | None, states: Sequence[TaskState], how: How) -> Op[int]:
    total = 0
    for group, index in _indexes_of(context).items():
        wanted = [state for state in group if state in states]
        if wanted:
            where: Document = {fields.STATE: {"$in": [state.value for state in wanted]}}
            if len(wanted) == 1:
                where = {fields.STATE: wanted[0].value}
            if queue is not None:
                where[fields.QUEUE] = {"$eq": queue}
            total += yield Count(context.tasks, where, hint=index, **how)
    return total


def _indexes_of(context: Context) -> Mapping[tuple[TaskState, ...], str]:
    """The states that are counted together, and the index for each; parked tasks have one where there can be any."""
    parks = context.gate.flow or context.gate.limited
    return {(TaskState.PARKED,): indexes.PARKED, **_INDEX_OF} if parks else _INDEX_OF


def _at_once(body: Callable[[How], Op[T]]) -> Op[T]:
    """Run several reads in one snapshot: a task that moves between two indexes is counted exactly once.

    For short reads only: the server keeps deleted index entries while a snapshot is open, and every claim walks over
    them. A standalone server has no snapshots; there the reads run one after the other.
    """

    def read(how: How) -> Op[Any]:
        try:
            # The limit reports a lost server to the caller as soon as a plain read would.
            return (yield Transact(lambda: body(how), timedelta(seconds=1), reads=True))
        except Unsupported:
            return (yield from body(how))

    result: T = yield from patiently(read)
    return result


def _shown(context: Context, found: Sequence[Document]) -> list[Task]:
    now = context.clock.now()
    return [task for document in found if (task := decoding.task_shown(document, context.namespace, now))]


def _grouped(context: Context, where: Filter, index: str, *, attempts: bool) -> Op[list[Document]]:
    group: Document = {
        "_id": {fields.QUEUE: f"${fields.QUEUE}", fields.STATE: f"${fields.STATE}"},
        "count": {"$sum": 1},
    }
    if index == indexes.CLAIM:
        group["oldest"] = {"$min": f"${fields.RUN_AT}"}
    if attempts and index != indexes.FINISHED_AT:
        group["most"] = {"$max": f"${fields.ATTEMPTS}"}
    pipeline = [{"$match": where}, {"$group": group}]
    rows: list[Document] = yield from patiently(Aggregate(context.tasks, pipeline, hint=index))
    return rows
