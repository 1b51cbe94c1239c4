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
    """Cancel a waiting task now, or ask the handler of a running one to stop; return the task as it is then.

    The handler learns of it within 2 s. A finished task is left as it is. Its children follow their
    `on_parent_failure`.

    Args:
        children: cancel its children as well, and theirs, whatever their `on_parent_failure`.

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
    """Cancel the waiting tasks that match, and ask the handlers of running ones to stop; return how many there were.

    It works in batches of 1,000 and calls `on_progress` after each; an error on the way has a note that says how many
    tasks were written. Handlers learn of it within 2 s. `error`, `since` and `until` select as for `page`.

    Raises:
        ConfigurationError: nothing is given to select by, or an argument is not acceptable.
    """
    chosen = checked_choice(queue, state, where, name, error=error, since=since, until=until)
    checked_listener(on_progress)
    return (yield from base.write(bulk.cancel_all(base.context, matching(chosen), chosen.state, on_progress)))


@verb
def delete(base: Base, key: str) -> Op[int]:
    """Delete a task that is not running; returns 1.

    Raises:
        TaskNotFound: no task has this key.
        WrongState: the task is running: cancel it first.
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
    """Delete the tasks that match and are not running; return how many there were.

    It works in batches of 1,000 and calls `on_progress` after each; an error on the way has a note that says how many
    tasks were deleted. `error`, `since` and `until` select as for `page`.

    Raises:
        ConfigurationError: nothing is given to select by, or an argument is not acceptable.
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
    """Move the waiting tasks that match to the queue `to`, each with a fresh count of attempts; return how many.

    It works in batches of 1,000 and calls `on_progress` after each; an error on the way has a note that says how many
    tasks were moved. Their `run_at` stays. `error`, `since` and `until` select as for `page`.

    Raises:
        ConfigurationError: nothing is given to select by, or an argument is not acceptable.
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
    """Delete finished tasks now instead of after `keep_completed` or `keep_failed`; return how many there were.

    Only those of one queue, in one state, of one function, or finished longer ago than `older_than`; without
    arguments, all finished tasks. It works in batches of 1,000 and calls `on_progress` after each.

    Raises:
        ConfigurationError: an argument is not acceptable.
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
    """Change a waiting task, and return it as it is then. Its options are those of `new`; options not given stay.

    Args:
        tags: these are set, and the others stay; None as the value of a tag removes it.
        expires_at, payload: None removes it.
        if_version: change the task only if it is at this version, the `version` of a task that was read, so that no
            other change is overwritten.

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
    """Build the indexes that are missing, and return their names; wait for those that are being built.

    A new namespace gets them at first use; this is for a collection that was filled without them. It survives
    fail-overs and lost connections; if it is interrupted, the builds go on, and another call waits for them.

    Args:
        on_progress: called every second with the number of documents that the server has read.
        validator: True lets the server refuse documents that are not valid tasks, whichever program writes them; False
            removes that. Default: as it is.

    Raises:
        ConfigurationError: an argument is not acceptable.
        IndexMissing: an index cannot be built; it names the index and the reason.
        StorageUnavailable: no primary answered for 40 s.
    """
    checked_listener(on_progress)
    made = yield from base.read(schema.init(base.context, on_progress))
    if validator is not None and (yield from base.read(validated(base.context, on=validator))):
        made.append(f"{base.context.tasks}.validator")
    return made
