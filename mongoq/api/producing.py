"""Verbs of producers: one task, many, more than fit into memory, or those of many threads in one write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Generic

from mongoq.api.base import Base
from mongoq.api.gathering.gathered import enqueued
from mongoq.api.streaming import streamed
from mongoq.api.verb import verb
from mongoq.core.judging.retrying import RetryOn
from mongoq.core.tasks.alike import whole
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.task import Task
from mongoq.core.validation import UNSET, Duration, Unset
from mongoq.flow.given import After, BatchLike
from mongoq.limiting.given import Limits
from mongoq.storage.commands import Op
from mongoq.storage.documents import drafting
from mongoq.storage.documents.drafting import Draft, Others
from mongoq.storage.drivers.sessions import AwaitedSession, BlockingSession, Session


class Producing(Generic[Session]):
    """Verbs that may take part in a transaction of the caller's, in a session of the queue's own tempo."""

    @verb
    def new(
        base: Base,
        tags: Mapping[str, Any] | NewTask | None = None,
        *,
        key: str | None = None,
        name: str | None = None,
        on_conflict: str = "error",
        queue: str = "default",
        priority: int = 0,
        delay: Duration | None = None,
        run_at: datetime | None = None,
        expires_at: datetime | None = None,
        payload: Any = None,
        context: Mapping[str, Any] | None = None,
        unique: str | None = None,
        max_retries: int | Unset | None = UNSET,
        backoff: Any = UNSET,
        deadline: Duration | Unset | None = UNSET,
        lease: Duration | Unset = UNSET,
        keep_completed: Duration | Unset = UNSET,
        keep_failed: Duration | Unset = UNSET,
        retry_on: RetryOn | Unset | None = UNSET,
        no_retry_on: RetryOn | Unset = UNSET,
        failure_message: str | Unset | None = UNSET,
        on_complete: Any = UNSET,
        after: After = (),
        on_parent_failure: str = "cancel",
        batch: BatchLike | None = None,
        limits: Limits = (),
        session: Session | None = None,
        wait: Duration | None = 0,
    ) -> Op[Task]:
        """Enqueue a task and return it.

        When it returns, the task survives any failure of a minority of the replica set. When it raises
        StorageUnavailable the task may or may not exist: call again with the same `key` and
        `on_conflict="skip"`, and there is one task.

        Args:
            tags: the task's parameters: names `[A-Za-z][A-Za-z0-9_]*`, values that BSON can carry; at most 64. Or a
                whole `NewTask`, which has its options already.
            key: its identifier, up to 512 characters. Default: a generated one, ordered by time.
            name: the name of the task function that is to run it. Default: none; workers with a plain handler run it.
            on_conflict: `"error"` raises DuplicateTask where the key or the `unique` value is taken, `"skip"`
                returns the task that has it. A key is taken as long as its task is kept. With a `unique` value also
                `"replace"`, `"extend"` and `"again"`, which change the unfinished task that has it and return that:
                a waiting task gets the new content and time, only the new time, or stays as it is; a running one is
                run once more after this run. Each is atomic, whatever a worker does meanwhile.
            queue: the queue that it is claimed from.
            priority: any integer of 64 bits; the higher is claimed first, then the older `run_at`.
            delay: run it no sooner than this from now; or
            run_at: run it no sooner than this instant (with a time zone).
            expires_at: it expires if it is not completed by then. Default: `max_age` of the queue.
            payload: one more value that BSON can carry.
            context: what the handler finds as `task.context`: names and short values, such as trace ids and a tenant.
                It is added to what `@queue.context` returns.
            unique: at most one unfinished task has this value.
            on_complete: what is enqueued together with the end of this task, however it ends: a task function, its
                call, or a `NewTask` with queue, name, priority and tags. Its payload describes the end.
            after: tasks, or their keys, that must have completed before it runs, at most 1,000; it is parked till then.
            on_parent_failure: what to do if one of these ends otherwise, or is missing: `"cancel"` cancels this task,
                `"run"` runs it anyway, `"wait"` keeps it parked until a rerun completes.
            batch: the batch, or its key, whose member it becomes.
            limits: the limits that it is under, created by `limit` before: a name, or several.
            session: a ClientSession of the queue's own client with a transaction in progress: the task exists once
                you commit, or never. Default: the session bound in this context, if there is one.
            wait: how long to wait for room, where the queue has a `max_size`. Default: not at all; None: for ever.

        The other options are those of `Queue`, for this task alone. Times are kept in whole milliseconds, tuples
        become lists. Encoded, a task is at most `max_task_bytes`.

        Raises:
            InvalidTask: something is not acceptable; it lists everything, and nothing was written.
            DuplicateTask: the key or the `unique` value is taken.
            QueueFull: `max_size` tasks wait in the queue, and there was no room within `wait`.
            BatchFinished: the batch takes no more members.
        """
        task = whole(
            tags, key=key, name=name, queue=queue, priority=priority, delay=delay, run_at=run_at,
            expires_at=expires_at, payload=payload, context=context, unique=unique, on_conflict=on_conflict,
            max_retries=max_retries, backoff=backoff, deadline=deadline, lease=lease, keep_completed=keep_completed,
            keep_failed=keep_failed, retry_on=retry_on, no_retry_on=no_retry_on, failure_message=failure_message,
            on_complete=on_complete, after=after, on_parent_failure=on_parent_failure, batch=batch, limits=limits,
        )  # fmt: skip
        return (yield from enqueued(base, task, session, wait))

    @verb
    def new_many(
        base: Base,
        tasks: Iterable[Mapping[str, Any] | NewTask],
        *,
        on_conflict: str = "error",
        queue: str = "default",
        priority: int = 0,
        delay: Duration | None = None,
        run_at: datetime | None = None,
        expires_at: datetime | None = None,
        context: Mapping[str, Any] | None = None,
        max_retries: int | Unset | None = UNSET,
        backoff: Any = UNSET,
        deadline: Duration | Unset | None = UNSET,
        lease: Duration | Unset = UNSET,
        keep_completed: Duration | Unset = UNSET,
        keep_failed: Duration | Unset = UNSET,
        retry_on: RetryOn | Unset | None = UNSET,
        no_retry_on: RetryOn | Unset = UNSET,
        failure_message: str | Unset | None = UNSET,
        on_complete: Any = UNSET,
        after: After = (),
        on_parent_failure: str = "cancel",
        batch: BatchLike | None = None,
        limits: Limits = (),
        session: Session | None = None,
        wait: Duration | None = 0,
    ) -> Op[list[Task]]:
        """Enqueue many tasks in this order, in one round trip per 1,000 (or 16 MiB), and return them.

        `tasks` is any iterable of tags, to which the options apply, or of `NewTask`s with options of their own; it
        is read chunk by chunk. With `on_conflict="skip"` the tasks that exist already are returned in their places.

        A list or another collection is checked before anything is sent, except for its encoded sizes; any other
        iterable is checked as it is read. If the call fails in the middle, the error's `enqueued` says how many
        tasks, the first ones, exist; if the server was lost, some of the 1,000 after them may. With a
        `session`, as for `new`, no task exists before you commit. `wait` begins anew each time that a bounded queue
        is full.

        Raises:
            InvalidTask: something is not acceptable. Its faults name the position of the task.
            DuplicateTask: a key or `unique` value is taken; no task after it was enqueued, except with `"skip"` for
                some of its chunk.
            QueueFull, BatchFinished: as from `new`.
        """
        options = {
            "on_conflict": on_conflict, "queue": queue, "priority": priority, "delay": delay, "run_at": run_at,
            "expires_at": expires_at, "context": context, "max_retries": max_retries, "backoff": backoff,
            "deadline": deadline, "lease": lease, "keep_completed": keep_completed, "keep_failed": keep_failed,
            "retry_on": retry_on, "no_retry_on": no_retry_on, "failure_message": failure_message,
            "on_complete": on_complete, "after": after, "on_parent_failure": on_parent_failure, "batch": batch,
            "limits": limits,
        }  # fmt: skip
        many: list[Task] = []

        def collect(drafts: list[Draft], others: Others) -> None:
            many.extend(drafting.all_made(base.context, drafts, others))

        yield from streamed(base, tasks, options, session, collect, wait=wait)
        return many

    @verb
    def load(
        base: Base,
        tasks: Iterable[Mapping[str, Any] | NewTask],
        *,
        on_conflict: str = "error",
        queue: str = "default",
        priority: int = 0,
        delay: Duration | None = None,
        run_at: datetime | None = None,
        expires_at: datetime | None = None,
        context: Mapping[str, Any] | None = None,
        max_retries: int | Unset | None = UNSET,
        backoff: Any = UNSET,
        deadline: Duration | Unset | None = UNSET,
        lease: Duration | Unset = UNSET,
        keep_completed: Duration | Unset = UNSET,
        keep_failed: Duration | Unset = UNSET,
        retry_on: RetryOn | Unset | None = UNSET,
        no_retry_on: RetryOn | Unset = UNSET,
        failure_message: str | Unset | None = UNSET,
        on_complete: Any = UNSET,
        after: After = (),
        on_parent_failure: str = "cancel",
        batch: BatchLike | None = None,
        limits: Limits = (),
        session: Session | None = None,
        wait: Duration | None = 0,
    ) -> Op[int]:
        """Enqueue as `new_many` does, and return only how many were enqueued: for more tasks than fit into memory.

        It holds two chunks at a time, however many tasks are streamed. With `on_conflict="skip"` the tasks that existed
        already do not count: so a load with keys of your own that failed in the middle can be repeated as a whole.

        Raises:
            InvalidTask, DuplicateTask, QueueFull, BatchFinished: as from `new_many`.
        """
        options = {
            "on_conflict": on_conflict, "queue": queue, "priority": priority, "delay": delay, "run_at": run_at,
            "expires_at": expires_at, "context": context, "max_retries": max_retries, "backoff": backoff,
            "deadline": deadline, "lease": lease, "keep_completed": keep_completed, "keep_failed": keep_failed,
            "retry_on": retry_on, "no_retry_on": no_retry_on, "failure_message": failure_message,
            "on_complete": on_complete, "after": after, "on_parent_failure": on_parent_failure, "batch": batch,
            "limits": limits,
        }  # fmt: skip
        count = 0

        def collect(drafts: list[Draft], others: Others) -> None:
            nonlocal count
            count += len(drafts) - len(others)

        yield from streamed(base, tasks, options, session, collect, wait=wait, only=[])
        return count


blocking: Final = Producing[BlockingSession]()
awaited: Final = Producing[AwaitedSession]()
