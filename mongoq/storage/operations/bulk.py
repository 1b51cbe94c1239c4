"""Change tasks from outside: many by a filter, or one by its key. A running task is only asked to stop.

The keys are read first and then written in batches of 1,000, each under the filter that found them. So no write
outlives the socket timeout, tasks that changed meanwhile are left alone, and two equal calls at once do no harm.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from mongoq.core.errors import WrongState
from mongoq.core.lifecycle import FINISHED, WAITING, Event, TaskState, sources
from mongoq.core.stats import OnProgress
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import Delete, Document, Filter, Find, Op, nothing, update_many
from mongoq.storage.context import Context
from mongoq.storage.documents import decoding, fields, filters, flow, updates
from mongoq.storage.operations.flow import calling
from mongoq.storage.operations.flow.ending import follow_closed, follow_task, part_with
from mongoq.storage.operations.limits.ending import let_lines_go, let_next_go, line_of
from mongoq.storage.operations.long_work.patience import patiently
from mongoq.storage.operations.long_work.tally import Tally
from mongoq.storage.operations.modify.following import close_each
from mongoq.storage.operations.queries import get

BATCH: Final = 1_000
MOST_READ: Final = 50_000
"""How many keys are held in memory at a time."""


def cancel_all(
    context: Context, chosen: Filter, state: TaskState | None, on_progress: OnProgress | None = None
) -> Op[int]:
    """Cancel waiting tasks and ask the workers of running ones to stop; returns the number of both."""
    states = _among([one for one in sources(Event.CANCEL) if one is not TaskState.RUNNING], state)
    waiting = {**chosen, **filters.in_states(states)}
    running = {**chosen, **filters.unasked()}
    with Tally("cancel", on_progress) as tally:
        if states:
            read = [fields.KEY, fields.POLICY, fields.CHILDREN, fields.BATCH, fields.LINE]
            yield from _each(context, waiting, read, partial(_end, context, waiting, context.clock.now()), tally)
        if state in (None, TaskState.RUNNING):
            yield from _each(context, running, [fields.KEY, fields.VERSION], partial(_ask, context, running), tally)
    return tally.done


def _end(context: Context, waiting: Filter, now: datetime, batch: list[Document]) -> Op[int]:
    """Cancel tasks that wait, each with what follows it."""
    groups: dict[tuple[timedelta, bool, bool], list[str]] = defaultdict(list)
    for document in batch:
        policy = context.options.policy.over(decoding.policy_from(document.get(fields.POLICY)))
        kind = policy.keep_failed, policy.on_complete is not None, flow.is_awaited(document)
        groups[kind].append(document[fields.KEY])
    done = 0
    for (keep, followed, awaited), keys in groups.items():
        if followed:
            close = close_each(context, keys, waiting, TaskState.CANCELLED, now=now, keep=keep, awaited=awaited)
            done += (yield from close).updated
        else:
            update = updates.closed(TaskState.CANCELLED, now, keep, awaited=awaited)
            done += yield from update_many(context.tasks, {**waiting, **filters.by_keys(keys)}, update)
    yield from follow_closed(context, batch)
    yield from let_lines_go(context, batch)
    return done


def _ask(context: Context, running: Filter, batch: list[Document]) -> Op[int]:
    """Ask the workers of running tasks to stop."""
    versions: dict[Any, list[str]] = defaultdict(list)
    for document in batch:
        version = document.get(fields.VERSION)
        versions[version if isinstance(version, int) else None].append(document[fields.KEY])
    done = 0
    for version, keys in versions.items():
        where = {**running, **filters.unasked_since(keys, version)}
        done += yield from update_many(context.tasks, where, updates.cancel_requested())
    return done


def delete_all(
    context: Context,
    chosen: Filter,
    state: TaskState | None,
    on_progress: OnProgress | None = None,
    *,
    older_than: timedelta | None = None,
) -> Op[int]:
    """Delete tasks that are not running; with `older_than` only finished ones of that age. Returns the number."""
    states = _among([*WAITING, *FINISHED] if older_than is None else FINISHED, state)
    where = {**chosen, **filters.in_states(states)}
    if older_than is not None:
        clock = context.clock
        where |= filters.finished_by(clock.earliest() - older_than if older_than else clock.latest())

    def delete(batch: list[Document]) -> Op[int]:
        parted = yield from part_with(context, batch)
        guard = {**where, **filters.by_keys(_keys(batch))}
        deleted: int = yield Delete(context.tasks, guard, hint="_id_")
        if parted:  # they are cancelled now, whatever state was asked for
            guard = {**filters.by_keys(parted), **filters.in_states([TaskState.CANCELLED])}
            deleted += yield Delete(context.tasks, guard, hint="_id_")
        yield from calling.look(context, sorted({one[fields.BATCH] for one in batch if fields.BATCH in one}))
        yield from let_lines_go(context, batch)
        return deleted

    with Tally("delete" if older_than is None else "purge", on_progress) as tally:
        only = [fields.KEY, fields.CHILDREN, fields.BATCH, fields.LINE]
        yield from _each(context, where, only, delete, tally) if states else nothing(0)
    return tally.done


def move_all(
    context: Context, chosen: Filter, state: TaskState | None, to: str, on_progress: OnProgress | None = None
) -> Op[int]:
    """Move waiting tasks into the queue `to`, with a fresh count of attempts; returns the number."""
    states = _among(WAITING, state)
    where = {**chosen, **filters.elsewhere(to), **filters.in_states(states)}
    now = context.clock.now()

    def move(batch: list[Document]) -> Op[int]:
        groups: dict[tuple[str, int], list[str]] = defaultdict(list)
        for document in batch:
            origin = document[fields.QUEUE], document.get(fields.ATTEMPTS, 0)
            groups[origin].append(document[fields.KEY])
        done = 0
        for (queue, attempts), keys in groups.items():
            guard = {**where, **filters.by_keys(keys)}
            done += yield from update_many(context.tasks, guard, updates.moved(to, queue, attempts, now))
        return done

    only = [fields.KEY, fields.QUEUE, fields.ATTEMPTS]
    with Tally("move", on_progress) as tally:
        yield from _each(context, where, only, move, tally) if states else nothing(0)
    return tally.done


def require(context: Context, key: str, done: int, allowed: Sequence[TaskState], wanted: str) -> Op[int]:
    """Return `done`; raise TaskNotFound or WrongState when it is 0 because of the task's state."""
    if not done:
        task = yield from get(context, key)
        if task.state not in allowed:
            raise WrongState(key, task.state, wanted)
    return done


def cancel(context: Context, key: str) -> Op[Task]:
    """Cancel a waiting task, or ask the worker of a running one to stop; a finished task stays as it is.

    The task may change state between the read and the write, so both are repeated until the effect shows.
    """
    missed: tuple[int, datetime | None] | None = None
    while True:
        task = yield from get(context, key)
        running = task.state is TaskState.RUNNING
        if task.finished or (running and task.cancel_requested):
            return task
        if running:
            # A version that is no integer matches nothing; such a document is only known by its state.
            known = missed != (task.version, task.started_at)
            where = filters.unasked_since([key], task.version if known else None)
            yield from update_many(context.tasks, where, updates.cancel_requested())
            missed = task.version, task.started_at
        else:
            policy, now = context.options.policy.over(task.policy), context.clock.now()
            awaited = task.children or task.batch is not None
            if policy.on_complete is not None:
                guard = filters.cancellable(key)
                keep = policy.keep_failed
                yield from close_each(context, [key], guard, TaskState.CANCELLED, now=now, keep=keep, awaited=awaited)
            else:
                update = updates.closed(TaskState.CANCELLED, now, policy.keep_failed, awaited=awaited)
                yield from update_many(context.tasks, filters.cancellable(key), update)
            if awaited:
                yield from follow_task(context, task)
            yield from let_next_go(context, line_of(context, task))


def delete(context: Context, key: str) -> Op[int]:
    """Delete a task that is not running."""
    done = yield from delete_all(context, filters.by_keys([key]), None)
    return (yield from require(context, key, done, [*WAITING, *FINISHED], "cancel it, and delete it when it has ended"))


def move(context: Context, key: str, to: str) -> Op[int]:
    """Move a waiting task into the queue `to`."""
    done = yield from move_all(context, filters.by_keys([key]), None, to)
    return (yield from require(context, key, done, WAITING, "only waiting tasks can be moved"))


def _each(
    context: Context, where: Filter, only: Sequence[str], write: Callable[[list[Document]], Op[int]], tally: Tally
) -> Op[int]:
    """Write the matching tasks batch by batch until none is left; returns the number.

    Only those that were there when it began: under running producers it would never end.
    """
    before = tally.done
    # The latest, not the best guess: a task that was enqueued a moment ago would be passed over.
    there = {"$and": [where, filters.created_by(context.clock.latest())]}
    while True:
        found: list[Document] = yield from patiently(Find(context.tasks, there, only=only, most=MOST_READ))
        done = 0
        for start in range(0, len(found), BATCH):
            batch = found[start : start + BATCH]
            done += yield from tally.write(batch, write(batch))
        if not done:
            return tally.done - before


def _keys(batch: list[Document]) -> list[str]:
    return [document[fields.KEY] for document in batch]


def _among(states: Sequence[TaskState], state: TaskState | None) -> list[TaskState]:
    return [one for one in states if state in (None, one)]
