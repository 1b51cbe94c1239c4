"""`AsyncQueue`, the public API that is awaited. Its verbs are named in `verbs.py`, those of `Queue`."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from mongoq.api import buffer, changing, closing, producing, running
from mongoq.api.opening import opened
from mongoq.api.verb import Awaited
from mongoq.core.clock import Clock
from mongoq.core.judging.backoff import BackoffLike
from mongoq.core.judging.retrying import RetryOn
from mongoq.core.serial.sealing import Codec
from mongoq.core.validation import UNSET, Duration, Unset, suggesting
from mongoq.flow import verbs as flow
from mongoq.functions.async_decorator import AsyncTaskDecorator
from mongoq.functions.binding import Binding
from mongoq.functions.tasks import AsyncTasks, Tasks
from mongoq.scheduling.decorator import Cron
from mongoq.storage.drivers.connection import AsyncTarget, Target
from mongoq.verbs import Verbs

__all__ = ["AsyncQueue"]


class AsyncQueue(Verbs, Awaited):
    """`Queue` for coroutines: the same verbs, awaited; the same options.

        queue = AsyncQueue("mongodb://localhost/shop", namespace="mail")
        task = await queue.new({"user": 42})
        await queue.run(handler)

    One object serves any number of coroutines of one event loop. An operation never blocks the loop, not even while
    MongoDB is unreachable. Waiting (`wait`, `join`, `claim` with a timeout) takes no thread: all calls that wait share
    one change stream.

    `await queue.run(handler)` runs coroutine handlers on the caller's loop. The worker's own threads renew leases, over
    a blocking client beside the awaited one, so a handler that blocks the loop loses no lease. Cancelling `run` drains
    as SIGTERM does: running handlers get the grace, unfinished tasks are released.

    Args:
        target: a MongoDB URI, `"embedded:FOLDER"`, or the application's own `AsyncMongoClient` or its database, or
            Motor's (`mongoq[motor]`), which stays open when the queue is closed. None reads MONGOQ_URI.
        blocking: a URI, `MongoClient` or `Database` of the same MongoDB for the threads of `run`, `start`,
            `keepalive` and of what waits. Default: one with the settings of `target`, opened when it is first needed.

    The other options are those of `Queue`.

    Raises:
        ConfigurationError: an option or the target is not acceptable; it lists all that is wrong.
    """

    @suggesting
    def __init__(
        self,
        target: AsyncTarget = None,
        *,
        blocking: Target = None,
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
            target, awaited=True, blocking=blocking,
            namespace=namespace, max_age=max_age, max_retries=max_retries, workers=workers, deadline=deadline,
            backoff=backoff, lease=lease, keep_completed=keep_completed, keep_failed=keep_failed, grace=grace,
            max_task_bytes=max_task_bytes, claimant=claimant, error_queue=error_queue, clock=clock, retry_on=retry_on,
            no_retry_on=no_retry_on, failure_message=failure_message, max_size=max_size, codec=codec,
            fair_share=fair_share, aging=aging,
        )  # fmt: skip
        self._base.functions.bind(Binding(self, self._base, awaited=True))

    # Task functions
    @property
    def task(self) -> AsyncTaskDecorator:
        """Make task functions: `@queue.task`, or with options `@queue.task(max_retries=5)`."""
        return AsyncTaskDecorator(self._base.functions)

    @property
    def cron(self) -> Cron[AsyncTaskDecorator]:
        """Make task functions that are enqueued by time: `@queue.cron("*/5 * * * *")`."""
        return Cron(self._base.functions, AsyncTaskDecorator)

    def include(self, *tasks: AsyncTasks | Tasks | AsyncQueue) -> None:
        """Run the functions of these `Tasks` as well, and enqueue their calls here until this queue is closed.

        Raises:
            ConfigurationError: two functions have the same name, or one of `tasks` is something else.
        """
        self._include(tasks)

    # Producers
    new = producing.awaited.new
    new_many = producing.awaited.new_many
    load = producing.awaited.load
    buffer = buffer.async_buffer

    # Workers
    start = running.awaited.start

    # The atomic change
    modify = changing.awaited.modify
    transaction = changing.async_transaction

    # Flow
    batch = flow.awaited.batch

    # Hooks and the object itself
    async def close(self) -> None:
        """Stop this object's workers, write what was submitted, close what it opened; a client handed in stays open.

        Where it is cancelled it goes on by itself; a second call waits for the first.
        """
        await closing.close(self._base)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        await self.close()
