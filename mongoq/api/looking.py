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
from mongoq.core.lifecycle import LIVE, TaskState
from mongoq.core.requests import checked_claimant, checked_key, checked_names
from mongoq.core.stats import QueueStats, WorkerInfo
from mongoq.core.tasks.task import Task
from mongoq.core.validation import UNSET, Unset
from mongoq.flow.given import BatchLike
from mongoq.storage.commands import Op
from mongoq.storage.documents import fields, filters, flow
from mongoq.storage.operations import queries, schema
from mongoq.storage.operations.fleet import heartbeat
from mongoq.storage.operations.history import answer
from mongoq.storage.operations.looking.selecting import selected as matching
from mongoq.storage.operations.namespace import orders


@verb
def get(base: Base, key: str) -> Op[Task]:
    """The task with this key. TaskNotFound where there is none, or none any more."""
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
    """The tasks that match, ordered by key; `limit=None` brings all of them into memory.

    `name` is that of a task function, at any revision where it names none (`welcome`, `welcome@2`). `where` asks for
    tags as in `run`; `claimant` for what is held under this name, `mine` for what is held
    under the name of this object, with the proofs of their claims: what was claimed under the same name before
    a restart can so be gone on with. `parent` asks for the children of a task, `batch` for the members of a batch.
    `payload=False` leaves payloads out. Without a queue, keys or a claimant it
    reads the whole collection. `scan` gives any number one by one.
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
    """All tasks that match, one by one, ordered by key: `for task in queue.scan(state="failed"):`.

    It reads a page when the loop asks for its first task, so any number takes the memory of one page: at most 1,000
    tasks and 16 MiB. Each page is read when it is needed: a task that changes meanwhile is shown as it is then.
    `after` goes on behind the task with this key. `error`, `since` and `until` choose as for `page`.
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
    """How many tasks match. Without a queue and a state, or with a name or tags, it reads the tasks it counts.

    `error`, `since` and `until` choose as for `page`.
    """
    chosen = checked_selection(queue=queue, state=state, where=where, name=name, error=error, since=since, until=until)
    return (yield from base.read(queries.count(base.context, matching(chosen))))


@verb
def size(base: Base, queue: str | None = None) -> Op[int]:
    """How many tasks of one queue, or of all, are not finished: ready, scheduled, running or parked, at one moment.

    On a standalone server the states are counted one after the other.
    """
    return (yield from base.read(queries.size(base.context, queue, LIVE)))


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
    """How many tasks stand where, by queue, and how fast they come and go: `time_to_empty`, `wait.p95`.

    While workers run, one of them counts for all, every 5 s and less often where there are many tasks. Where it found
    more than 20,000, `stats` tells what it found (`counted_at`), and no task is read. Else it counts now, in the
    indexes, about 1 s per million tasks. The states are then counted one after the other: a task that moves meanwhile
    may be counted twice, or not at all. Queues without a task are left out, but for those of which workers ran some
    within the last minute.

    Args:
        queues: only these; or
        prefix: only those whose names begin so.
        limit: only the first so many of them, by name.
        name: only tasks of this task function, at any revision unless it names one. They are counted now, without
            rates, by reading the tasks of these queues: no index has the names of all states.
        attempts: find `most_attempts` too. That reads every unfinished task instead of an index: 0.21 s instead
            of 0.19 for 100,000 tasks in the server's memory, longer where they have to come from its disk.
        exact: count now, however long that takes.
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
    """The queues that have tasks, and how many of them are not finished.

    Only those whose names begin with `prefix`, or are among `exact`; the first `limit` of them, by name.
    """
    rows = yield from _stats(base, exact, prefix, limit)
    return {name: row.size for name, row in rows.items() if any(getattr(row, state) for state in TaskState)}


@verb
def empty(base: Base, queues: str | Sequence[str] | None = None, *, prefix: str | None = None) -> Op[bool]:
    """Whether these queues (default: all; or those whose names begin with `prefix`) have no unfinished task."""
    names = checked_names(queues, prefix)
    return (yield from base.read(queries.empty(base.context, filters.named(names, prefix))))


@verb
def workers(base: Base) -> Op[list[WorkerInfo]]:
    """The worker processes that sent a heartbeat within the last minute."""
    return (yield from base.read(heartbeat.workers(base.context)))


@verb
def namespaces(base: Base) -> Op[list[str]]:
    """The namespaces of this database that hold tasks, by name."""
    return (yield from base.read(schema.namespaces()))


@verb
def time(base: Base) -> Op[datetime]:
    """The server's clock, by which everything is scheduled."""
    return (yield from base.read(schema.server_time()))


@verb
def standalone(base: Base) -> Op[bool]:
    """Whether the server is alone, in no replica set and no sharded cluster: then it may lose what it acknowledged."""
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
