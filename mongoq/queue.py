"""The public API: one object for producers, workers and operators. Its methods hold no logic of their own."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from mongoq.backoff import BackoffLike
from mongoq.buffer import Buffer
from mongoq.checks import UNSET, Checker, Duration, Unset, arguments_of, suggesting
from mongoq.clock import ServerClock
from mongoq.errors import IndexMissing, LeaseLost, QueueClosed
from mongoq.lifecycle import LIVE, TaskState
from mongoq.model import QueueStats, Task, WorkerInfo
from mongoq.new_task import NewTask, Tags, each
from mongoq.options import checked_options, checked_queues, checked_workers
from mongoq.signals import Fail, Move, Retry, Snooze
from mongoq.storage import administering, claiming, enqueueing, finishing, inspecting, leasing, membership
from mongoq.storage.commands import Op
from mongoq.storage.connection import Target, connect
from mongoq.storage.context import Context
from mongoq.storage.driver import Driver
from mongoq.storage.enqueueing import Draft, Others
from mongoq.storage.keys import KeyMaker
from mongoq.streaming import stream
from mongoq.telemetry import Telemetry
from mongoq.verdict import Ending, Raised, Released, Returned

if TYPE_CHECKING:
    from mongoq.work.handle import WorkerHandle
    from mongoq.work.handler import Function

__all__ = ["Queue"]

T = TypeVar("T")


class Queue:
    """A task queue in MongoDB: enqueue with `new`, work with `run`, look with `stats`.

    One object serves any number of threads. Open it after a fork, not before: a MongoDB client does not survive
    one.

    Args:
        target: a MongoDB URI, `"embedded:FOLDER"` for a private server of this machine, or the application's own
            `MongoClient` or `Database`, which stays open when the queue is closed. None reads MONGOQ_URI.
            Without a database name in the URI the database is `mongoq`.
        namespace: the prefix of the collections: `mail` lives in `mail.tasks` and `mail.workers`.
        max_age: a task not completed so long after its creation expires. Default: never.
        max_retries: retries after the first attempt. Default: without a maximum; 0: a failure is final.
        workers: handlers that run at once in a worker process. Default: the number of CPU cores; 100 of coroutines.
        deadline: the longest one attempt may run. Default: none.
        backoff: the wait before each retry. Default: `Linear(10 s)`: 10 s, 20 s, 30 s, ... A duration is the
            step of a `Linear`; a callable gets the number of the failed attempt and returns a duration.
        lease: for how long a worker holds a task without renewing it, at least 1 s. Default: 30 s. The tasks of
            a worker that vanished run elsewhere about that much later.
        keep_completed: how long completed tasks are kept, with their results. Default: 1 hour; 0: deleted.
        keep_failed: how long failed, expired and cancelled tasks are kept. Default: 30 days.
        grace: how long a stopping worker waits for its running handlers. Default: 25 s.
        max_task_bytes: the largest task, encoded. Default: 1 MiB; at most 8 MiB.

    Durations are `timedelta` or seconds. `max_retries`, `backoff`, `deadline`, `lease`, `keep_completed` and
    `keep_failed` travel with each task where the producer's queue sets them otherwise than the library's
    defaults; what a task does not carry is taken from the queue of the worker that runs it.

    Raises:
        ConfigurationError: an option or the target is not acceptable; it lists all that is wrong.

    Nothing is sent to the server before the first use.
    """

    @suggesting
    def __init__(
        self,
        target: Target = None,
        *,
        namespace: str = "default",
        max_age: Duration | None = None,
        max_retries: int | None = None,
        workers: int | None = None,
        deadline: Duration | None = None,
        backoff: BackoffLike | Duration | Unset = UNSET,
        lease: Duration | Unset = UNSET,
        keep_completed: Duration | Unset = UNSET,
        keep_failed: Duration | Unset = UNSET,
        grace: Duration = 25,
        max_task_bytes: int = 2**20,
    ) -> None:
        policy = {
            "max_retries": max_retries, "backoff": backoff, "deadline": deadline, "lease": lease,
            "keep_completed": keep_completed, "keep_failed": keep_failed,
        }  # fmt: skip
        options = checked_options(
            namespace=namespace,
            max_age=max_age,
            workers=workers,
            grace=grace,
            max_task_bytes=max_task_bytes,
            policy=policy,
        )
        clock = ServerClock()
        self._connection = connect(target)
        self._driver = Driver(self._connection, clock)
        self._context = Context(clock, options, KeyMaker())
        self._telemetry = Telemetry()
        self._claimant = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._handles: list[WorkerHandle] = []
        self._ready = False
        self._closed = False

    # Producers

    @suggesting
    def new(
        self,
        tags: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        on_conflict: str = "error",
        queue: str = "default",
        priority: int = 0,
        delay: Duration | None = None,
        run_at: datetime | None = None,
        expires_at: datetime | None = None,
        payload: Any = None,
        unique: str | None = None,
        max_retries: int | Unset | None = UNSET,
        backoff: Any = UNSET,
        deadline: Duration | Unset | None = UNSET,
        lease: Duration | Unset = UNSET,
        keep_completed: Duration | Unset = UNSET,
        keep_failed: Duration | Unset = UNSET,
    ) -> Task:
        """Enqueue a task and return it.

        When it returns, the task survives any failure of a minority of the replica set. When it raises
        StorageUnavailable the task may or may not exist: call again with the same `key` and
        `on_conflict="skip"`, and there is one task.

        Args:
            tags: the task's parameters: names `[A-Za-z][A-Za-z0-9_]*`, values that BSON can carry; at most 64.
            key: its identifier, up to 512 characters. Default: a generated one, ordered by time.
            on_conflict: `"error"` raises DuplicateTask where the key or the `unique` value is taken, `"skip"`
                returns the task that has it. A key is taken as long as its task is kept.
            queue: the line it stands in.
            priority: any integer of 64 bits; the higher is claimed first, then the older `run_at`.
            delay: not before so long from now; or
            run_at: not before this instant (with a time zone).
            expires_at: it expires if it is not completed by then. Default: `max_age` of the queue.
            payload: any further value that BSON can carry.
            unique: at most one unfinished task has this value.

        The other options are those of `Queue`, for this task alone. Times are kept in whole milliseconds, tuples
        become lists. Encoded, a task is at most `max_task_bytes`.

        Raises:
            InvalidTask: something is not acceptable; it lists everything, and nothing was written.
            DuplicateTask: the key or the `unique` value is taken.
        """
        task = NewTask(
            tags={} if tags is None else tags, key=key, queue=queue, priority=priority, delay=delay, run_at=run_at,
            expires_at=expires_at, payload=payload, unique=unique, on_conflict=on_conflict,
            max_retries=max_retries, backoff=backoff, deadline=deadline, lease=lease, keep_completed=keep_completed,
            keep_failed=keep_failed,
        )  # fmt: skip
        return self._send(enqueueing.new(self._context, task))

    @suggesting
    def new_many(
        self,
        tasks: Iterable[Mapping[str, Any] | NewTask],
        *,
        on_conflict: str = "error",
        queue: str = "default",
        priority: int = 0,
        delay: Duration | None = None,
        run_at: datetime | None = None,
        expires_at: datetime | None = None,
        max_retries: int | Unset | None = UNSET,
        backoff: Any = UNSET,
        deadline: Duration | Unset | None = UNSET,
        lease: Duration | Unset = UNSET,
        keep_completed: Duration | Unset = UNSET,
        keep_failed: Duration | Unset = UNSET,
    ) -> list[Task]:
        """Enqueue many tasks in this order, in one round trip per 1,000 (or 16 MiB), and return them.

        `tasks` is any iterable of tags, to which the options apply, or of `NewTask`s with options of their own; it
        is drawn on chunk by chunk. With `on_conflict="skip"` the tasks that are there already are returned in
        their places.

        A list or another collection is checked before anything is sent, but for its encoded sizes; what another
        iterable brings is checked as it comes. Whatever ends it in the middle, an error's `enqueued` says how
        many tasks, the first ones, exist; where the server was lost, some of the 1,000 after them may.

        Raises:
            InvalidTask: something is not acceptable. Its faults name the task's place.
            DuplicateTask: a key or `unique` value is taken; none after it was enqueued, but with `"skip"` for
                some of its chunk.
        """
        options = {
            "on_conflict": on_conflict, "queue": queue, "priority": priority, "delay": delay, "run_at": run_at,
            "expires_at": expires_at, "max_retries": max_retries, "backoff": backoff, "deadline": deadline,
            "lease": lease, "keep_completed": keep_completed, "keep_failed": keep_failed,
        }  # fmt: skip
        many: list[Task] = []
        for chunk, others in self._stream(tasks, options):
            many += enqueueing.all_made(self._context, chunk, others)
        return many

    @suggesting
    @arguments_of(new_many)
    def load(self, tasks: Iterable[Mapping[str, Any] | NewTask], **options: Any) -> int:
        """Enqueue as `new_many` does, and return only how many were enqueued: for more than fit into memory.

        It holds two chunks at a time, however many tasks are streamed. With `on_conflict="skip"` those that were
        there already do not count; with keys of your own, what broke off can so be done again.
        """
        return sum(len(chunk) - len(others) for chunk, others in self._stream(tasks, options, only=[]))

    @suggesting
    def buffer(self, *, max_delay: Duration = 0.005) -> Buffer:
        """Group the enqueues of many threads into one write: `with queue.buffer() as buffer: buffer.new(tags)`.

        Each `buffer.new` returns or raises by itself as `new` does, with the same promises, but outside of the
        caller's transaction or time limit of the driver's, which are not its group's. The end of the `with` waits
        for those under way; later ones raise QueueClosed.

        Args:
            max_delay: the longest time a write waits for company, beyond the end of the write before it. It
                waits for as many as came last time, so a lone thread does not wait.

        Raises:
            ConfigurationError: `max_delay` is no duration.
        """
        checker = Checker()
        delay = checker.duration("max_delay", max_delay)
        checker.finish()
        return Buffer(self._context, self._send, (delay or timedelta(0)).total_seconds())

    # Workers

    @suggesting
    def run(
        self,
        handler: Function,
        *,
        queues: str | Sequence[str] = "default",
        workers: int | None = None,
        executor: str | None = None,
        burst: bool = False,
    ) -> None:
        """Run `handler(task)` (or `handler(attempt, task)`) for the tasks of `queues`, until it is stopped.

        A return completes the task; its value is kept as the result. `Retry`, `Snooze`, `Fail`, `Cancel` and
        `Move` steer it; any other exception is a failure, retried by the backoff. A task is run at least once,
        and may be run again where its worker vanished or was cut off: make handlers idempotent.

        SIGTERM, SIGINT or `stop()` end it: no more claims, running handlers get the grace, what is left is
        released with its attempt back. A second signal stops at once. When MongoDB does not answer, the worker
        goes on trying. Signals are taken over only in the main thread.

        Args:
            handler: a function or a coroutine function; at most `workers` of them run at once.
            queues: up to 100 names. The order of claims is by priority across all of them.
            workers: overrides the queue's.
            executor: where handlers run: `"threads"`; `"asyncio"`, one event loop in a thread of its own; or
                `"processes"`, children that import the handler, a function at the top level of a module. They
                use all cores, and a deadline, a cancel or a crash ends a child alone, whatever it was doing.
                Default: coroutine functions run on asyncio, others in threads.
            burst: return when nothing is ready any more and nothing runs.

        Raises:
            ConfigurationError: an argument is not acceptable.
            StorageError: MongoDB cannot be reached, or refuses, at the start.
        """
        from mongoq.work.handle import run_in_foreground  # noqa: PLC0415 -- only workers need the engine

        run_in_foreground(lambda done: self._start(handler, queues, workers, executor, done, burst=burst))

    @suggesting
    def start(
        self,
        handler: Function,
        *,
        queues: str | Sequence[str] = "default",
        workers: int | None = None,
        executor: str | None = None,
    ) -> WorkerHandle:
        """Do as `run` in background threads, and return a handle to stop it or wait for it."""
        return self._start(handler, queues, workers, executor, lambda: None)

    @suggesting
    def run_once(
        self,
        handler: Function,
        *,
        queues: str | Sequence[str] = "default",
        workers: int | None = None,
        executor: str | None = None,
        limit: int | None = None,
    ) -> bool:
        """Run what is due now, at most `limit` tasks, then return whether more is ready.

        The other arguments are those of `run`.
        """
        from mongoq.work.handle import run_in_foreground  # noqa: PLC0415 -- only workers need the engine

        checker = Checker()
        names = checked_queues(checker, queues)
        checker.finish()
        run_in_foreground(lambda done: self._start(handler, names, workers, executor, done, burst=True, limit=limit))
        return any(self._read(inspecting.size(self._context, name, [TaskState.READY])) for name in names)

    def stop(self) -> None:
        """Ask every worker of this object to stop, and return at once; may be called from a handler."""
        for handle in self._handles:
            handle.stop_soon()

    # By hand

    def try_claim(self, queues: str | Sequence[str] = "default") -> Task | None:
        """Lease the most urgent task that is due, for the length of its lease; None where there is none.

        End it with `complete`, `fail`, `retry`, `snooze`, `release` or `move`. Each of them raises LeaseLost, and
        writes nothing, where the task has gone to another claimant meanwhile.
        """
        checker = Checker()
        names = checked_queues(checker, queues)
        checker.finish()
        return self._write(claiming.try_claim(self._context, names, self._claimant))

    def renew(self, task: Task, lease: Duration) -> None:
        """Hold a claimed task for `lease` from now on. LeaseLost where it is not held any more."""
        checker = Checker()
        duration = checker.duration("lease", lease, positive=True)
        checker.finish()
        if not self._write(leasing.renew(self._context, [task.key], [task.token or "-"], duration or timedelta(0))):
            raise LeaseLost([task.key])

    def complete(self, task: Task, result: Any = None) -> None:
        """End a claimed task as completed. InvalidTask where the result cannot be stored."""
        self._end(task, Returned(result))

    def fail(self, task: Task, reason: str) -> None:
        """End a claimed task as failed, whatever retries are left."""
        self._end(task, Raised(Fail(reason)))

    def retry(self, task: Task, error: BaseException | str, *, delay: Duration | None = None) -> None:
        """Count the attempt as failed: run the task again after `delay` or its backoff, or fail it if used up."""
        signal = Retry(str(error), delay=delay)
        signal.__cause__ = error if isinstance(error, BaseException) else None
        self._end(task, Raised(signal))

    def snooze(self, task: Task, delay: Duration) -> None:
        """Run a claimed task again after `delay`; the attempt is not charged."""
        self._end(task, Raised(Snooze(delay)))

    def release(self, task: Task) -> None:
        """Give a claimed task back: ready at once, in its old place, the attempt not charged."""
        self._end(task, Released())

    def move(self, task: Task, to: str) -> None:
        """Put a claimed task into the queue `to`, ready, with a fresh count of attempts."""
        self._end(task, Raised(Move(to)))

    # Looking and administering

    def get(self, key: str) -> Task:
        """The task with this key. TaskNotFound where there is none, or none any more."""
        return self._read(inspecting.get(self._context, key))

    def tasks(
        self,
        *,
        queue: str | None = None,
        state: TaskState | str | None = None,
        keys: Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
        limit: int | None = 100,
    ) -> list[Task]:
        """The tasks that match, ordered by key; `limit=None` brings all of them into memory.

        `where` asks for tags by equality. Without a queue or keys it reads the whole collection.
        """
        checker = Checker()
        if isinstance(keys, str):
            checker.refuse("keys", keys, "a list of keys")
        if state is not None:
            checker.one_of("state", state, [known.value for known in TaskState])
        if where is not None:
            checker.tags("where", where)
        if limit is not None:
            checker.integer("limit", limit, 1, 10**9)
        checker.finish()
        chosen = None if state is None else TaskState(state)
        return self._read(
            inspecting.tasks(self._context, queue=queue, state=chosen, keys=keys, where=where, limit=limit or 0)
        )

    def size(self, queue: str | None = None) -> int:
        """How many tasks of one queue, or of all, are not finished: ready, scheduled or running."""
        return self._read(inspecting.size(self._context, queue, LIVE))

    def stats(self) -> dict[str, QueueStats]:
        """How many tasks stand where, by queue; counted in the indexes, about 1 s per million tasks.

        The states are counted one after the other: a task that moves meanwhile may be counted twice, or not at all.
        """
        return self._read(inspecting.stats(self._context))

    def queues(self) -> dict[str, int]:
        """The queues that have tasks, and how many of them are not finished."""
        return {name: row.ready + row.scheduled + row.running for name, row in self.stats().items()}

    def workers(self) -> list[WorkerInfo]:
        """The worker processes that sent a heartbeat within the last minute."""
        return self._read(membership.workers(self._context))

    def cancel(self, key: str) -> Task:
        """Cancel a waiting task now, or ask a running one's handler to stop (it learns within 2 s).

        A finished task is left as it is. Returns the task as it stands then. Raises TaskNotFound.
        """
        return self._write(administering.cancel(self._context, key))

    def time(self) -> datetime:
        """The server's clock, by which everything is scheduled."""
        return self._read(administering.server_time())

    def standalone(self) -> bool:
        """Whether the server is no member of a replica set: what it acknowledged may then be lost with it."""
        return "setName" not in self._read(administering.hello())

    def init(self) -> list[str]:
        """Make the indexes that are missing, and return their names.

        A new namespace gets them at first use; this is for a collection that has been filled without them.
        """
        return self._read(administering.init(self._context))

    @property
    def namespace(self) -> str:
        """The prefix of the collections."""
        return self._context.namespace

    @property
    def telemetry(self) -> Telemetry:
        """The events of this object's workers: `queue.telemetry.subscribe(listener)`."""
        return self._telemetry

    def close(self) -> None:
        """Stop this object's workers and close what it opened; a client handed in stays open."""
        if not self._closed:
            for handle in self._handles:
                handle.stop()
            self._closed = True
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Queue {self._context.namespace!r} at {self._connection.where}>"

    def _start(
        self,
        handler: Function,
        queues: str | Sequence[str],
        workers: int | None,
        executor: str | None,
        done: Callable[[], None],
        *,
        burst: bool = False,
        limit: int | None = None,
    ) -> WorkerHandle:
        from mongoq.work.starting import checked_job, start  # noqa: PLC0415 -- a producer that never works is spared 50 ms of it

        checker = Checker()
        names = checked_queues(checker, queues)
        count = checked_workers(checker, workers)
        if limit is not None:
            checker.integer("limit", limit, 1, 10**9)
        checker.finish()
        job = checked_job(handler, executor, names, count or self._context.options.workers, burst=burst, limit=limit)
        self._write(administering.hello())
        handle = start(self._context, self._connection, self._write, job, telemetry=self._telemetry, done=done)
        self._handles = [known for known in self._handles if not known.stopped] + [handle]
        return handle

    def _end(self, task: Task, ending: Ending) -> None:
        self._write(finishing.settle(self._context, task, ending, self._claimant))

    def _send(self, op: Op[T]) -> T:
        """Enqueue, and wake this object's own workers."""
        sent = self._write(op)
        for handle in self._handles:
            handle.wake()
        return sent

    def _stream(
        self, tasks: Iterable[Tags | NewTask], options: Mapping[str, Any], only: Sequence[str] | None = None
    ) -> Iterator[tuple[list[Draft], Others]]:
        chunks = enqueueing.chunks(self._context, each(tasks, options))
        return stream(lambda chunk: self._send(enqueueing.chunk(self._context, chunk, only=only)), chunks)

    def _write(self, op: Op[T]) -> T:
        """Run an operation after making sure that the indexes are there: once, and again if they go missing."""
        if not self._ready:
            self._read(administering.ensure(self._context))
            self._ready = True
        try:
            return self._read(op)
        except IndexMissing:
            self._ready = False
            raise

    def _read(self, op: Op[T]) -> T:
        if self._closed:
            raise QueueClosed("this queue was closed")
        return self._driver.run(op)
