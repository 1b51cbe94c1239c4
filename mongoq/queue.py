"""`Queue`, the public API that blocks. Its verbs are named in `verbs.py`."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from mongoq.api import buffer, changing, producing, running
from mongoq.api.opening import opened
from mongoq.api.verb import Blocking
from mongoq.core.clock import Clock
from mongoq.core.judging.backoff import BackoffLike
from mongoq.core.judging.retrying import RetryOn
from mongoq.core.serial.sealing import Codec
from mongoq.core.validation import UNSET, Duration, Unset, suggesting
from mongoq.flow import verbs as flow
from mongoq.functions.binding import Binding
from mongoq.functions.decorator import TaskDecorator
from mongoq.functions.tasks import AsyncTasks, Tasks
from mongoq.scheduling.decorator import Cron
from mongoq.storage.drivers.connection import Target
from mongoq.verbs import Verbs

__all__ = ["Queue"]


class Queue(Verbs, Blocking):
    """A task queue in MongoDB: enqueue with `new`, work with `run`, look with `stats`.

    One object serves any number of threads. Open it after a fork, not before: a MongoDB client does not survive
    one.

    Args:
        target: a MongoDB URI, `"embedded:FOLDER"` for a private server of this machine, or the application's own
            `MongoClient` (not one with `retryWrites=False`) or `Database`, which stays open when the queue is closed.
            None reads MONGOQ_URI.
            Without a database name in the URI the database is `mongoq`.
        namespace: the prefix of the collections: `mail` lives in `mail.tasks` and `mail.workers`.
        max_age: a task that has not completed this long after its creation expires. Default: never.
        max_retries: retries after the first attempt. Default: without a maximum; 0: a failure is final.
        workers: handlers that run at once in a worker process. Default: the number of CPU cores; 100 of coroutines.
        deadline: the longest one attempt may run. Default: none.
        backoff: the wait before each retry. Default: `Linear(10 s)`: 10 s, 20 s, 30 s, ... A duration is the
            step of a `Linear`; a callable gets the number of the failed attempt and returns a duration.
        lease: how long a worker holds a task without renewing it, at least 1 s. Default: 30 s. The tasks of
            a worker that vanished run elsewhere about that much later.
        keep_completed: how long completed tasks are kept, with their results. Default: 1 hour; 0: deleted.
        keep_failed: how long failed, expired and cancelled tasks are kept. Default: 30 days.
        retry_on: the errors that are retried: exception classes, their names, or functions of the error. Default: all.
        no_retry_on: the errors that fail a task at once; they outweigh `retry_on`.
        failure_message: the first text of the log record of a failed task, before the errors of all its attempts.
        grace: how long a stopping worker waits for its running handlers. Default: 25 s.
        max_task_bytes: the largest task, encoded. Default: 1 MiB; at most 8 MiB.
        claimant: who claims by hand through this object, at most 200 characters. Default: `host:pid:random`.
        error_queue: where a task goes that would end as failed: True for `"<its queue>/err"`, or a function from the
            name of its queue to another. It is ready there, with its errors, `moved_from` and a fresh count of
            attempts. A task that fails in an error queue ends as failed, and so does one whose queue's name leaves no
            room for `/err` (more than 124 characters). Default: failed tasks stay in their queue.
        clock: a clock of your own, for tests: `mongoq.testing.FrozenClock`. Default: the server's.
        max_size: how many tasks may wait (ready or scheduled) in each queue. Beyond that `new` raises QueueFull, or
            waits for room with `new(..., wait=5)`. Give all producers the same value. It is exceeded by 5 % at most;
            follow-ups of handlers, moves, reruns and `modify` are not refused. Default: any number.
        codec: a pair of functions that encrypt and decrypt payloads, results, texts of errors and secret tags at rest:
            `encrypt(data) -> (key id, data)`, `decrypt(key id, data) -> data`; see `mongoq.encryption.fernet_codec`.
            Give it to all producers and workers.
        fair_share: the share of claims, above 0 and up to 1, that take the task that has been ready for longest,
            whatever its priority: 0.1 is every tenth. Default: none, priorities are strict.
        aging: each time that a task has waited for this long, it counts as one priority higher. Default: never.

    Durations are `timedelta` or seconds. A task carries those of `max_retries backoff deadline lease keep_completed
    keep_failed retry_on no_retry_on failure_message` that its producer's queue sets to other than the defaults, except
    functions; for all others the values of the worker's queue apply.

    Raises:
        ConfigurationError: an option or the target is not acceptable; it lists all that is wrong.

    Nothing is sent to the server before the first use.
    """

    @suggesting
    def __init__(
        self,
        target: Target = None,
        *,
        namespace: str | None = None,
        max_age: Duration | None = None,
        max_retries: int | None = None,
        workers: int | None = None,
        deadline: Duration | None = None,
        backoff: BackoffLike | Duration | Unset = UNSET,
        lease: Duration | Unset = UNSET,
        keep_completed: Duration | Unset = UNSET,
        keep_failed: Duration | Unset = UNSET,
        retry_on: RetryOn | Unset | None = UNSET,
        no_retry_on: RetryOn | Unset = UNSET,
        failure_message: str | None = None,
        grace: Duration = 25,
        max_task_bytes: int = 2**20,
        claimant: str | None = None,
        error_queue: bool | Callable[[str], str] | None = None,
        clock: Clock | None = None,
        max_size: int | None = None,
        codec: Codec | None = None,
        fair_share: float | None = None,
        aging: Duration | None = None,
    ) -> None:
        self._base = opened(
            target, namespace=namespace, max_age=max_age, max_retries=max_retries, workers=workers, deadline=deadline,
            backoff=backoff, lease=lease, keep_completed=keep_completed, keep_failed=keep_failed, grace=grace,
            max_task_bytes=max_task_bytes, claimant=claimant, error_queue=error_queue, clock=clock, retry_on=retry_on,
            no_retry_on=no_retry_on, failure_message=failure_message, max_size=max_size, codec=codec,
            fair_share=fair_share, aging=aging,
        )  # fmt: skip
        self._base.functions.bind(Binding(self, self._base, awaited=False))

    # Task functions
    @property
    def task(self) -> TaskDecorator:
        """Make task functions: `@queue.task`, or with options `@queue.task(max_retries=5)`."""
        return TaskDecorator(self._base.functions)

    @property
    def cron(self) -> Cron[TaskDecorator]:
        """Make task functions that are enqueued by time: `@queue.cron("*/5 * * * *")`."""
        return Cron(self._base.functions, TaskDecorator)

    def include(self, *tasks: Tasks | AsyncTasks | Queue) -> None:
        """Run the functions of these `Tasks` as well, and enqueue their calls here until this queue is closed.

        Raises:
            ConfigurationError: two functions have the same name, or one of `tasks` is something else.
        """
        self._include(tasks)

    # Producers
    new = producing.blocking.new
    new_many = producing.blocking.new_many
    load = producing.blocking.load
    buffer = buffer.buffer

    # Workers
    start = running.blocking.start

    # The atomic change
    modify = changing.blocking.modify
    transaction = changing.transaction

    # Flow
    batch = flow.blocking.batch

    # Hooks and the object itself
    def close(self) -> None:
        """Stop this object's workers, write what was submitted, close what it opened; a client handed in stays open."""
        if not self._base.closed:
            self._base.stop()
            self._base.driver.run(self._base.gatherer.close())
            self._base.shut()
            self._base.driver.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        self.close()
