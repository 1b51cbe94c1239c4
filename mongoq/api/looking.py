"""Verbs that look: at one task, at many, at queues and workers, and at what is yet to come."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from mongoq.api.base import Base
from mongoq.api.verb import stream, verb
from mongoq.core.choosing.selection import checked_selection
from mongoq.core.lifecycle import TaskState
from mongoq.core.requests import checked_claimant, checked_key, checked_names
from mongoq.core.stats import QueueStats, WorkerInfo
from mongoq.core.tasks.task import Task
from mongoq.core.validation import UNSET, Unset
from mongoq.flow.given import BatchLike
from mongoq.storage.commands import Op
from mongoq.storage.documents import fields, flow
from mongoq.storage.operations import queries, schema
from mongoq.storage.operations.fleet import heartbeat
from mongoq.storage.operations.history import answer
from mongoq.storage.operations.looking.selecting import selected as matching
from mongoq.storage.operations.namespace import orders


@verb
def get(base: Base, key: str) -> Op[Task]:
    """Return the task with this key.

    Raises:
        TaskNotFound: no task has this key: it never existed, or was deleted.
    """
    return (yield from base.read(queries.get(base.context, checked_key(key), majority=True)))


@verb
def tasks(
    base: Base,
    *,
    queue: str | None = None,
    state: TaskState | str | None = None,
    keys: Sequence[str] | None = None,
    name: str | None = None,
    where: Mapping[str, Any] | None = None,
    claimant: str | None = None,
    mine: bool = False,
    parent: str | None = None,
    batch: BatchLike | None = None,
    payload: bool = True,
    limit: int | None = 100,
) -> Op[list[Task]]:
    """Return the tasks that match all that is given, ordered by key.

    Without a queue, keys or a claimant it reads the whole collection. For any number of tasks use `scan`.

    Args:
        name: of this task function, at any revision unless it names one (`welcome`, `welcome@2`).
        where: with these tags, by equality as for `run`.
        claimant: held under this name.
        mine: held under the name of this object, with the proofs of their claims: after a restart, a program with the
            same `claimant` can go on with what it had claimed.
        parent: the children of this task.
        batch: the members of this batch.
        payload: False leaves payloads out.
        limit: at most so many; None reads all of them into memory.

    Raises:
        ConfigurationError: an argument is not acceptable.
    """
    holder = checked_claimant(claimant, base.claimant, mine=mine)
    chosen = checked_selection(
        queue=queue, state=state, keys=keys, where=where, claimant=holder, limit=limit, name=name
    )
    hidden = [*(() if mine else fields.PROOFS), *(() if payload else (fields.PAYLOAD,))]
    related = flow.related(
        None if parent is None else checked_key(parent),
        None if batch is None else checked_key(getattr(batch, "key", batch)),
    )
    where = {**matching(chosen), **related}
    found = queries.tasks(base.context, where, claimant=holder, limit=limit or 0, hidden=hidden)
    return (yield from base.read(found))


@stream
def scan(
    base: Base,
    *,
    queue: str | None = None,
    state: TaskState | str | None = None,
    name: str | None = None,
    where: Mapping[str, Any] | None = None,
    error: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    payload: bool = True,
    after: str | Unset = UNSET,
    limit: int | None = None,
) -> Op[Task]:
    """Yield all tasks that match, ordered by key: `for task in queue.scan(state="failed"):`.

    It holds one page in memory, at most 1,000 tasks and 16 MiB, and reads the next one when the loop needs it. A task
    that changes meanwhile is shown as it was when its page was read. `after` continues behind the task with this key.
    `error`, `since` and `until` select as for `page`.

    Raises:
        ConfigurationError: an argument is not acceptable.
    """
    chosen = matching(
        checked_selection(
            queue=queue, state=state, name=name, where=where, error=error, since=since, until=until, limit=limit
        )
    )
    hidden = [*fields.PROOFS, *(() if payload else (fields.PAYLOAD,))]
    last = after if after is UNSET else checked_key(after)
    return (yield from base.read(queries.scan(base.context, chosen, last, limit=limit, hidden=hidden)))


@verb
def count(
    base: Base,
    *,
    queue: str | None = None,
    state: TaskState | str | None = None,
    name: str | None = None,
    where: Mapping[str, Any] | None = None,
    error: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Op[int]:
    """Return how many tasks match. Without a queue and a state, or with a name or tags, it reads the tasks it counts.

    `error`, `since` and `until` select as for `page`.

    Raises:
        ConfigurationError: an argument is not acceptable.
    """
    chosen = checked_selection(queue=queue, state=state, where=where, name=name, error=error, since=since, until=until)
    return (yield from base.read(queries.count(base.context, matching(chosen))))


@verb
def stats(
    base: Base,
    queues: str | Sequence[str] | None = None,
    *,
    prefix: str | None = None,
    limit: int | None = None,
    name: str | None = None,
    attempts: bool = False,
    exact: bool = False,
) -> Op[dict[str, QueueStats]]:
    """Return the counts of each queue by state, and how fast its tasks come and go: `time_to_empty`, `wait.p95`.

    While workers run, one of them counts for all, every 5 s, less often where there are many tasks. If it found more
    than 20,000, `stats` returns its figures (`counted_at`) and reads no task. Otherwise it counts now, in the indexes,
    at about 1 s per million tasks. The states are then counted one after the other: a task that changes its state
    meanwhile may be counted twice, or not at all. Queues without tasks are left out, unless workers ran some of their
    tasks within the last minute.

    Args:
        queues: only these; or
        prefix: only those whose names begin with it.
        limit: only the first so many of them, by name.
        name: only tasks of this task function, at any revision unless it names one. They are counted now, without
            rates, by reading the tasks of these queues: no index has the names of all states.
        attempts: find `most_attempts` too. That reads every unfinished task instead of an index: 0.21 s instead
            of 0.19 for 100,000 tasks in the server's memory, longer where they are read from disk.
        exact: count now, however long that takes.

    Raises:
        ConfigurationError: an argument is not acceptable.
    """
    checked_selection(name=name)
    found = yield from _stats(base, queues, prefix, limit, name=name, attempts=attempts, exact=exact)
    ordered = yield from base.read(orders.read(base.context))
    now = base.context.clock.now()
    held = {pause.queue for pause in ordered.pauses if pause.holds(now) and pause.name is None and pause.tag is None}
    shut = found if None in held else held & found.keys()  # None: everything is paused
    return found | {name: replace(found[name], paused=True) for name in shut if name is not None}


@verb
def queues(
    base: Base, *, prefix: str | None = None, exact: str | Sequence[str] | None = None, limit: int | None = None
) -> Op[dict[str, int]]:
    """Return the queues that have tasks, each with the number of its unfinished tasks.

    Only those whose names begin with `prefix`, or are among `exact`; the first `limit` of them, by name.

    Raises:
        ConfigurationError: an argument is not acceptable.
    """
    rows = yield from _stats(base, exact, prefix, limit)
    return {name: row.size for name, row in rows.items() if any(getattr(row, state) for state in TaskState)}


@verb
def workers(base: Base) -> Op[list[WorkerInfo]]:
    """Return the worker processes that sent a heartbeat within the last minute."""
    return (yield from base.read(heartbeat.workers(base.context)))


@verb
def namespaces(base: Base) -> Op[list[str]]:
    """Return the namespaces of this database that hold tasks, by name."""
    return (yield from base.read(schema.namespaces()))


@verb
def time(base: Base) -> Op[datetime]:
    """Return the time of the server's clock, by which everything is scheduled."""
    return (yield from base.read(schema.server_time()))


@verb
def standalone(base: Base) -> Op[bool]:
    """Tell whether the server is in no replica set and no sharded cluster: it may lose what it acknowledged."""
    return schema.is_standalone((yield from base.read(schema.hello())))


def _stats(
    base: Base,
    queues: str | Sequence[str] | None,
    prefix: str | None,
    limit: int | None,
    *,
    name: str | None = None,
    attempts: bool = False,
    exact: bool = False,
) -> Op[dict[str, QueueStats]]:
    names = checked_names(queues, prefix, limit)
    counted = answer.stats(base.context, names, prefix, attempts=attempts, exact=exact, function=name)
    rows = yield from base.read(counted)
    return dict(itertools.islice(rows.items(), limit))
