"""The public API: `Queue` blocks, `AsyncQueue` is awaited. Both are tables of contents of the verbs in `api/`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self, TypeVar

from mongoq.api import (
    buffer,
    changing,
    claiming,
    closing,
    ending,
    looking,
    producing,
    running,
    waiting,
    working,
)
from mongoq.api.base import Base
from mongoq.api.opening import opened
from mongoq.api.operators import acting, rerunning
from mongoq.api.verb import Awaited, Blocking
from mongoq.auditing import verbs as auditing
from mongoq.core.clock import Clock
from mongoq.core.events import Telemetry
from mongoq.core.host.health import WorkerHealth, together
from mongoq.core.judging.backoff import BackoffLike
from mongoq.core.judging.retrying import RetryOn
from mongoq.core.serial.sealing import Codec
from mongoq.core.validation import UNSET, Duration, Unset, suggesting
from mongoq.diagnosis import verbs as diagnosis
from mongoq.flow import verbs as flow
from mongoq.functions.async_decorator import AsyncTaskDecorator
from mongoq.functions.binding import Binding, registry_of
from mongoq.functions.decorator import TaskDecorator
from mongoq.functions.tasks import AsyncTasks, Tasks
from mongoq.history import verbs as recorded
from mongoq.hooks.attached import Listening
from mongoq.limiting import verbs as limiting
from mongoq.paging import verbs as paging
from mongoq.pausing import verbs as pausing
from mongoq.scheduling import verbs as scheduling
from mongoq.scheduling.decorator import AsyncCron, Cron
from mongoq.storage.drivers.connection import AsyncTarget, Target

__all__ = ["AsyncQueue", "Queue"]

F = TypeVar("F", bound=Callable[..., object])


class _Common:
    """What neither blocks nor is awaited."""

    _base: Base

    def stop(self) -> None:
        """Ask every worker of this object to stop, and return at once; may be called from a handler."""
        for handle in self._base.handles:
            handle.stop_soon()

    def health(self) -> WorkerHealth:
        """Tell whether the workers of this object are alive and working, for probes. It does no I/O."""
        return together(handle.health() for handle in self._base.handles)

    @property
    def namespace(self) -> str:
        """The prefix of the collections."""
        return self._base.context.namespace

    @property
    def claimant(self) -> str:
        """Who claims by hand through this object."""
        return self._base.claimant

    @property
    def on(self) -> Listening:
        """Call listeners for events: `queue.on(AttemptFailed, listener)`, or `@queue.on(AttemptFailed)`."""
        return self._base.hooks.on

    def middleware(self, function: F) -> F:
        """Run each attempt inside a generator, `@queue.middleware`: it gets the task (or the attempt and the task).

        Its `yield` is where the handler runs; the handler's error is raised there, and cannot be swallowed. The
        middleware that was added first is the outermost. An async generator is for coroutine handlers only.

        Raises:
            ConfigurationError: `function` is no generator function.
        """
        return self._base.hooks.add_middleware(function)

    def context(self, function: F) -> F:
        """Set the function that gives each new task its context, `@queue.context`; it is called at each enqueue.

        It returns a mapping, such as `{"tenant": tenant.get()}`, which handlers find as `task.context`. Values of
        `new(context=...)` override it. If it raises, nothing is enqueued, and the caller gets the error.

        Raises:
            ConfigurationError: `function` is no plain function.
        """
        return self._base.hooks.set_context(function)

    def lifespan(self, function: F) -> F:
        """Open what handlers share, `@queue.lifespan`: the value that the generator yields is `attempt.state`.

        It runs to its `yield` once in each process that runs handlers, child processes included, and on from there when
        the worker ends. If it raises before, `run` ends with its error. An async generator runs on the loop of
        coroutine handlers.

        Raises:
            ConfigurationError: `function` is no generator function.
        """
        return self._base.hooks.set_lifespan(function)

    @property
    def telemetry(self) -> Telemetry:
        """Low-level events, delivered in the threads of the workers: for tests and tools; an application uses `on`."""
        return self._base.telemetry

    def _include(self, tasks: Iterable[Tasks | AsyncTasks | _Common]) -> None:
        for one in tasks:
            self._base.functions.include(registry_of(one))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.namespace!r} at {self._base.driver.connection.where}>"


class Queue(_Common, Blocking):
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
    def cron(self) -> Cron:
        """Make task functions that are enqueued by time: `@queue.cron("*/5 * * * *")`."""
        return Cron(self._base.functions)

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
    submit = buffer.submit
    buffer = buffer.buffer

    # Workers
    run = working.run
    start = running.blocking.start
    run_once = working.run_once

    # By hand
    try_claim = claiming.try_claim
    claim = claiming.claim
    claim_many = claiming.claim_many
    claims = claiming.claims
    renew = claiming.renew
    keepalive = claiming.keepalive
    complete = ending.complete
    fail = ending.fail
    retry = ending.retry
    snooze = ending.snooze
    release = ending.release
    move = ending.move

    # The atomic change
    modify = changing.blocking.modify
    transaction = changing.transaction

    # Flow
    batch = flow.blocking.batch
    close_batch = flow.close_batch
    get_batch = flow.get_batch
    batches = flow.batches

    # Limits
    limit = limiting.limit
    limits = limiting.limits
    limit_state = limiting.limit_state
    limit_stats = limiting.limit_stats
    consume = limiting.consume
    delete_limit = limiting.delete_limit

    # Pauses
    pause = pausing.pause
    resume = pausing.resume
    pauses = pausing.pauses
    stop_worker = pausing.stop_worker

    # Schedules
    schedule = scheduling.schedule
    schedules = scheduling.schedules
    pause_schedule = scheduling.pause_schedule
    resume_schedule = scheduling.resume_schedule
    delete_schedule = scheduling.delete_schedule

    # Looking
    get = looking.get
    tasks = looking.tasks
    scan = looking.scan
    page = paging.page
    count = looking.count
    size = waiting.size
    empty = waiting.empty
    stats = looking.stats
    history = recorded.history
    history_of_names = recorded.history_of_names
    mark_release = recorded.mark_release
    queues = looking.queues
    workers = looking.workers
    namespaces = looking.namespaces
    wait = waiting.wait
    join = waiting.join
    time = looking.time
    standalone = looking.standalone
    diagnose = diagnosis.diagnose

    # Operating
    cancel = acting.cancel
    cancel_all = acting.cancel_all
    delete = acting.delete
    delete_all = acting.delete_all
    move_all = acting.move_all
    purge = acting.purge
    update = acting.update
    rerun = rerunning.rerun
    rerun_all = rerunning.rerun_all
    redrive = rerunning.redrive
    audit_begin = auditing.audit_begin
    audit_count = auditing.audit_count
    audit_end = auditing.audit_end
    audits = auditing.audits
    init = acting.init

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


class AsyncQueue(_Common, Awaited):
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
    def cron(self) -> AsyncCron:
        """Make task functions that are enqueued by time: `@queue.cron("*/5 * * * *")`."""
        return AsyncCron(self._base.functions)

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
    submit = buffer.submit
    buffer = buffer.async_buffer

    # Workers
    run = working.run
    start = running.awaited.start
    run_once = working.run_once

    # By hand
    try_claim = claiming.try_claim
    claim = claiming.claim
    claim_many = claiming.claim_many
    claims = claiming.claims
    renew = claiming.renew
    keepalive = claiming.keepalive
    complete = ending.complete
    fail = ending.fail
    retry = ending.retry
    snooze = ending.snooze
    release = ending.release
    move = ending.move

    # The atomic change
    modify = changing.awaited.modify
    transaction = changing.async_transaction

    # Flow
    batch = flow.awaited.batch
    close_batch = flow.close_batch
    get_batch = flow.get_batch
    batches = flow.batches

    # Limits
    limit = limiting.limit
    limits = limiting.limits
    limit_state = limiting.limit_state
    limit_stats = limiting.limit_stats
    consume = limiting.consume
    delete_limit = limiting.delete_limit

    # Pauses
    pause = pausing.pause
    resume = pausing.resume
    pauses = pausing.pauses
    stop_worker = pausing.stop_worker

    # Schedules
    schedule = scheduling.schedule
    schedules = scheduling.schedules
    pause_schedule = scheduling.pause_schedule
    resume_schedule = scheduling.resume_schedule
    delete_schedule = scheduling.delete_schedule

    # Looking
    get = looking.get
    tasks = looking.tasks
    scan = looking.scan
    page = paging.page
    count = looking.count
    size = waiting.size
    empty = waiting.empty
    stats = looking.stats
    history = recorded.history
    history_of_names = recorded.history_of_names
    mark_release = recorded.mark_release
    queues = looking.queues
    workers = looking.workers
    namespaces = looking.namespaces
    wait = waiting.wait
    join = waiting.join
    time = looking.time
    standalone = looking.standalone
    diagnose = diagnosis.diagnose

    # Operating
    cancel = acting.cancel
    cancel_all = acting.cancel_all
    delete = acting.delete
    delete_all = acting.delete_all
    move_all = acting.move_all
    purge = acting.purge
    update = acting.update
    rerun = rerunning.rerun
    rerun_all = rerunning.rerun_all
    redrive = rerunning.redrive
    audit_begin = auditing.audit_begin
    audit_count = auditing.audit_count
    audit_end = auditing.audit_end
    audits = auditing.audits
    init = acting.init

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
