"""Tasks for unit tests of handlers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from mongoq.core.clock import FrozenClock
from mongoq.core.lifecycle import FINISHED, TaskState
from mongoq.core.tasks.progress import TaskProgress
from mongoq.core.tasks.read_only import ReadOnly
from mongoq.core.tasks.task import Attempt, Failure, Task, TaskError
from mongoq.core.validation import UNSET, Unset

NOW: Final = FrozenClock().now()
LEASE: Final = timedelta(seconds=30)


def make_task(
    tags: Mapping[str, Any] | None = None,
    *,
    key: str = "task-1",
    queue: str = "default",
    namespace: str = "test",
    name: str | None = None,
    state: TaskState | str = TaskState.RUNNING,
    priority: int = 0,
    payload: Any = None,
    context: Mapping[str, Any] | None = None,
    now: datetime = NOW,
    run_at: datetime | None = None,
    created_at: datetime | None = None,
    modified_at: datetime | None = None,
    started_at: datetime | Unset | None = UNSET,
    finished_at: datetime | Unset | None = UNSET,
    expires_at: datetime | None = None,
    attempts: int | None = None,
    uncharged: int = 0,
    retries: int = 0,
    errors: tuple[TaskError, ...] = (),
    failure: Failure | None = None,
    result: Any = None,
    note: str | None = None,
    progress: TaskProgress | None = None,
    moved_from: str | None = None,
    unique: str | None = None,
    parents: tuple[str, ...] = (),
    on_parent_failure: str | None = None,
    children: bool = False,
    batch: str | None = None,
    limits: Mapping[str, int] | None = None,
    waits_for: str | None = None,
    policy: Mapping[str, Any] | None = None,
    worker: str | Unset | None = UNSET,
    token: str | Unset | None = UNSET,
    lease_until: datetime | Unset | None = UNSET,
    lost_leases: int = 0,
    cancel_requested: bool = False,
    version: int = 1,
    attempt: Attempt | None = None,
) -> Task:
    """A task as a handler gets it: running, in its first attempt, unless something else is said.

    What is not given fits the `state`: only a running task has a token and a lease, only a finished one its
    `finished_at`. All instants are `now` by default, 2030-01-01, where a `FrozenClock` stands.
    """
    stands = TaskState(state)
    held = stands is TaskState.RUNNING
    begun = held or stands in FINISHED
    return Task(
        key=key, queue=queue, namespace=namespace, name=name, state=stands, priority=priority,
        tags=ReadOnly(tags or {}),
        payload=payload, context=ReadOnly(context or {}), run_at=run_at or now,
        created_at=created_at or now, modified_at=modified_at or now,
        started_at=_or(started_at, now if begun else None),
        finished_at=_or(finished_at, now if stands in FINISHED else None),
        expires_at=expires_at, attempts=int(begun) if attempts is None else attempts, uncharged=uncharged,
        retries=retries, last_error=errors[-1] if errors else None, errors=errors, failure=failure,
        result=result, note=note, progress=progress,
        moved_from=moved_from, unique=unique, parents=parents,
        on_parent_failure=on_parent_failure, children=children, batch=batch,
        limits=ReadOnly(limits or {}), waits_for=waits_for,
        policy=ReadOnly(policy or {}),
        worker=_or(worker, "host:1:test" if begun else None), token=_or(token, "token" if held else None),
        lease_until=_or(lease_until, now + LEASE if held else None), lost_leases=lost_leases,
        cancel_requested=cancel_requested, version=version, read_at=now, attempt=attempt,
    )  # fmt: skip


def _or(given: Any, default: Any) -> Any:
    return default if isinstance(given, Unset) else given
