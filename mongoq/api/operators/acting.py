"""Change one task by its key, or all that match."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from mongoq.api.base import Base
from mongoq.api.verb import verb
from mongoq.core.choosing.selection import checked_choice, checked_selection
from mongoq.core.lifecycle import TaskState
from mongoq.core.requests import (
    Adjustment,
    checked_adjustment,
    checked_key,
    checked_listener,
    checked_seconds,
    checked_target,
)
from mongoq.core.stats import OnProgress
from mongoq.core.tasks.task import Task
from mongoq.core.validation import UNSET, Duration, Unset
from mongoq.storage.commands import Op
from mongoq.storage.operations import adjust, bulk, schema
from mongoq.storage.operations.flow import graph
from mongoq.storage.operations.looking.selecting import selected as matching
from mongoq.storage.operations.namespace.validator import validated


@verb
def cancel(base: Base, key: str, *, children: bool = False) -> Op[Task]:
    """Cancel a waiting task now, or ask the handler of a running one to stop, and return it as it stands then.

    The handler learns of it within 2 s. A finished task is left as it is. Tasks that were to run after it do what
    their `on_parent_failure` says.

    Args:
        children: cancel all that waits for its end as well, and what waits for that, whatever they say.

    Raises:
        TaskNotFound: no task has this key.
    """
    operation = graph.cancel_with_children if children else bulk.cancel
    return (yield from base.write(operation(base.context, checked_key(key))))


@verb
def cancel_all(
    base: Base,
    *,
    queue: str | None = None,
    state: TaskState | str | None = None,
    name: str | None = None,
    where: Mapping[str, Any] | None = None,
    error: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    on_progress: OnProgress | None = None,
) -> Op[int]:
    """Cancel the waiting tasks that match, and ask the handlers of running ones to stop; how many were.

    In batches of 1,000; `on_progress` hears of each, and what breaks it off bears a note of how many were. Handlers
    learn of it within 2 s. `error`, `since` and `until` choose as for `page`.

    Raises:
        ConfigurationError: nothing is given to choose by.
    """
    chosen = checked_choice(queue, state, where, name, error=error, since=since, until=until)
    checked_listener(on_progress)
    return (yield from base.write(bulk.cancel_all(base.context, matching(chosen), chosen.state, on_progress)))


@verb
def delete(base: Base, key: str) -> Op[int]:
    """Delete a task that does not run; returns 1.

    Raises:
        TaskNotFound: no task has this key.
        WrongState: the task runs: cancel it first.
    """
    return (yield from base.write(bulk.delete(base.context, checked_key(key))))


@verb
def delete_all(
    base: Base,
    *,
    queue: str | None = None,
    state: TaskState | str | None = None,
    name: str | None = None,
    where: Mapping[str, Any] | None = None,
    error: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    on_progress: OnProgress | None = None,
) -> Op[int]:
    """Delete the tasks that match and do not run, in batches of 1,000; how many were.

    `on_progress` hears of each batch, and what breaks it off bears a note of how many were. `error`, `since` and
    `until` choose as for `page`.

    Raises:
        ConfigurationError: nothing is given to choose by.
    """
    chosen = checked_choice(queue, state, where, name, error=error, since=since, until=until)
    checked_listener(on_progress)
    return (yield from base.write(bulk.delete_all(base.context, matching(chosen), chosen.state, on_progress)))


@verb
def move_all(
    base: Base,
    to: str,
    *,
    queue: str | None = None,
    state: TaskState | str | None = None,
    name: str | None = None,
    where: Mapping[str, Any] | None = None,
    error: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    on_progress: OnProgress | None = None,
) -> Op[int]:
    """Put the waiting tasks that match into the queue `to`, each with a fresh count of attempts; how many were.

    In batches of 1,000; `on_progress` hears of each, and what breaks it off bears a note of how many were. Their
    `run_at` stays. `error`, `since` and `until` choose as for `page`.

    Raises:
        ConfigurationError: nothing is given to choose by.
    """
    checked_target(to)
    chosen = checked_choice(queue, state, where, name, error=error, since=since, until=until)
    checked_listener(on_progress)
    return (yield from base.write(bulk.move_all(base.context, matching(chosen), chosen.state, to, on_progress)))


@verb
def purge(
    base: Base,
    *,
    queue: str | None = None,
    state: TaskState | str | None = None,
    name: str | None = None,
    older_than: Duration = 0,
    on_progress: OnProgress | None = None,
) -> Op[int]:
    """Delete finished tasks now instead of after `keep_completed` or `keep_failed`; how many were.

    Only those of one queue, in one state, of one function, or finished longer ago than `older_than`; without
    arguments, all. `on_progress` hears of each batch of 1,000.
    """
    chosen = checked_selection(queue=queue, state=state, name=name)
    checked_listener(on_progress)
    age = timedelta(seconds=checked_seconds("older_than", older_than))
    op = bulk.delete_all(base.context, matching(chosen), chosen.state, on_progress, older_than=age)
    return (yield from base.write(op))


@verb
def update(
    base: Base,
    key: str,
    *,
    priority: int | None = None,
    delay: Duration | None = None,
    run_at: datetime | None = None,
    expires_at: datetime | Unset | None = UNSET,
    tags: Mapping[str, Any] | None = None,
    payload: Any = UNSET,
    if_version: int | None = None,
) -> Op[Task]:
    """Change a waiting task, and return it as it is then. The options are those of `new`; what is not given stays.

    Args:
        tags: these are set, and the others stay; None as the value of a tag removes it.
        expires_at, payload: None removes it.
        if_version: only if the task is at this version, the `version` of a task that was read: so that nobody else's
            change is overwritten.

    Raises:
        TaskNotFound: no task has this key.
        WrongState: the task runs or has finished, or its document (a foreign producer's) has no usable version.
        DependencyError: it has another version than `if_version`.
        InvalidTask: with the new tags or payload the task is too large, or it would expire before it may run.
    """
    given = Adjustment(priority, delay, run_at, expires_at, tags, payload, if_version)
    return (yield from base.write(adjust.adjust(base.context, key, checked_adjustment(key, given))))


@verb
def init(base: Base, *, on_progress: OnProgress | None = None, validator: bool | None = None) -> Op[list[str]]:
    """Make the indexes that are missing, and return their names; wait for those that are being built.

    A new namespace gets them at first use; this is for a collection that has been filled without them. It outlives
    fail-overs and connections that fall silent; where it is broken off the builds go on, and another call waits for
    them. `on_progress` hears every second how many documents the server has read. `validator=True` also lets the
    server refuse documents that are no tasks, from whatever program, False ends that; default: it stays as it is.

    Raises:
        IndexMissing: some cannot be built, and why.
        StorageUnavailable: no primary answered for 40 s.
    """
    checked_listener(on_progress)
    made = yield from base.read(schema.init(base.context, on_progress))
    if validator is not None and (yield from base.read(validated(base.context, on=validator))):
        made.append(f"{base.context.tasks}.validator")
    return made
