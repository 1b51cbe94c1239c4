"""The public API: one object for producers, workers and operators. Its methods hold no logic of their own."""

from __future__ import annotations

import functools
import itertools
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from mongoq import rooms
from mongoq.core.backoff import BackoffLike
from mongoq.core.clock import ServerClock, elapsed
from mongoq.core.errors import IndexMissing, QueueClosed
from mongoq.core.events import Telemetry
from mongoq.core.keys import KeyMaker
from mongoq.core.lifecycle import LIVE, TaskState
from mongoq.core.new_task import NewTask, Tags, each
from mongoq.core.options import checked_keys, checked_options, checked_workers
from mongoq.core.signals import Fail, Move, Retry, Snooze
from mongoq.core.task import QueueStats, Task, WorkerInfo
from mongoq.core.validation import QUEUE_NAME, UNSET, Checker, Duration, Unset, arguments_of, suggesting
from mongoq.storage.commands import Filter, Op
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters
from mongoq.storage.drivers.blocking import Driver
from mongoq.storage.drivers.connection import Target, connect
from mongoq.storage.operations import enqueue, schema

if TYPE_CHECKING:
    from mongoq.api.buffer import Buffer
    from mongoq.core.modification import Change, Modification, Modified, TaskRef
    from mongoq.core.requests import TaskFilter
    from mongoq.core.verdict import Ending
    from mongoq.storage.drivers.sessions import Session
    from mongoq.storage.operations.enqueue import Draft, Others
    from mongoq.worker.config import WorkerConfig
    from mongoq.worker.handle import WorkerHandle
    from mongoq.worker.handlers.signature import Function
    from mongoq.worker.manual.by_hand import ByHand
    from mongoq.worker.manual.keepalive import Claimed, Keepalive

__all__ = ["Queue"]

T = TypeVar("T")


class Queue:
    """A task queue in MongoDB: enqueue with `new`, work with `run`, look with `stats`.

    One object serves any number of threads. Open it after a fork, not before: a MongoDB client does not survive
    one.

    Args:
        target: a MongoDB URI, `"embedded:FOLDER"` for a private server of this machine, or the application's own
            `MongoClient` (not one with `retryWrites=False`) or `Database`, which stays open when the queue is closed.
            None reads MONGOQ_URI.
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
        claimant: who claims by hand through this object, at most 200 characters. Default: `host:pid:random`.
        error_queue: where a task goes that would end as failed: True for `"<its queue>/err"`, or a function from the
            name of its queue to another. It is ready there, with its errors, `moved_from` and a fresh count of
            attempts; what fails there has failed, and so has what comes from a queue whose name leaves no room for
            `/err` (124 characters at most). Default: failed tasks stay where they are.

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
        claimant: str | None = None,
        error_queue: bool | Callable[[str], str] | None = None,
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
            error_queue=error_queue,
            policy=policy,
            claimant=claimant,
        )
        clock = ServerClock()
        self._connection = connect(target)
        self._telemetry = Telemetry()
        self._driver = Driver(self._connection, clock, self._telemetry)
        self._context = Context(clock, options, KeyMaker())
        self._claimant = claimant or f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._by_hand: ByHand | None = None
        self._making = threading.Lock()
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
        session: Session | None = None,
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
            session: a ClientSession of the queue's own client with a transaction in progress: the task is seen
                when you commit it, or never. Default: the session bound in this context, if there is one.

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
        joined = self._driver.joined(session)
        made: Task = self._send((enqueue if joined is None else rooms.enlist).new(self._context, task), joined)
        return made

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
        session: Session | None = None,
    ) -> list[Task]:
        """Enqueue many tasks in this order, in one round trip per 1,000 (or 16 MiB), and return them.

        `tasks` is any iterable of tags, to which the options apply, or of `NewTask`s with options of their own; it
        is drawn on chunk by chunk. With `on_conflict="skip"` the tasks that are there already are returned in
        their places.

        A list or another collection is checked before anything is sent, but for its encoded sizes; what another
        iterable brings is checked as it comes. Whatever ends it in the middle, an error's `enqueued` says how
        many tasks, the first ones, exist; where the server was lost, some of the 1,000 after them may. With a
        `session`, as for `new`, nothing is seen before you commit.

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
        for chunk, others in self._stream(tasks, options, self._driver.joined(session)):
            many += enqueue.all_made(self._context, chunk, others)
        return many

    @suggesting
    @arguments_of(new_many)
    def load(self, tasks: Iterable[Mapping[str, Any] | NewTask], **options: Any) -> int:
        """Enqueue as `new_many` does, and return only how many were enqueued: for more than fit into memory.

        It holds two chunks at a time, however many tasks are streamed. With `on_conflict="skip"` those that were
        there already do not count; with keys of your own, what broke off can so be done again.
        """
        joined = self._driver.joined(options.pop("session", None))
        return sum(len(chunk) - len(others) for chunk, others in self._stream(tasks, options, joined, only=[]))

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
        return rooms.buffer.Buffer(self._context, self._measure, self._send, (delay or timedelta(0)).total_seconds())

    # Workers

    @suggesting
    def run(
        self,
        handler: Function,
        *,
        queues: str | Sequence[str] = "default",
        where: Mapping[str, Any] | None = None,
        workers: int | None = None,
        executor: str | None = None,
        burst: bool = False,
        prefetch: int | None = None,
        on_dependency_error: str = "retry",
    ) -> None:
        """Run `handler(task)` (or `handler(attempt, task)`) for the tasks of `queues`, until it is stopped.

        A return completes the task; its value is kept as the result. A `Modification`, a `NewTask` or a list of
        them is carried out together with the completion, or neither is; where it deletes or changes the task
        itself, that takes the place of the completion. `Retry`, `Snooze`, `Fail`, `Cancel` and
        `Move` steer it; any other exception is a failure, retried by the backoff. A task is run at least once,
        and may be run again where its worker vanished or was cut off: make handlers idempotent.

        SIGTERM, SIGINT or `stop()` end it: no more claims, running handlers get the grace, what is left is
        released with its attempt back. A second signal stops at once. When MongoDB does not answer, the worker
        goes on trying. Signals are taken over only in the main thread, and once the server has answered.

        Args:
            handler: a function or a coroutine function; at most `workers` of them run at once.
            queues: up to 100 names. The order of claims is by priority across all of them.
            where: only tasks with these tags, by equality as MongoDB has it: None is also a tag that is missing, 1
                also a list that holds it. Tags lie in no index: each claim, also of an idle worker, reads the ready
                tasks that it passes over. Give what is often asked for a queue of its own.
            workers: overrides the queue's.
            executor: where handlers run: `"threads"`; `"asyncio"`, one event loop in a thread of its own; or
                `"processes"`, children that import the handler, a function at the top level of a module. They
                use all cores, and a deadline, a cancel or a crash ends a child alone, whatever it was doing.
                Default: coroutine functions run on asyncio, others in threads.
            burst: return when nothing is ready any more and nothing runs.
            prefetch: at most so many tasks are claimed ahead of the free handlers; they start before what becomes
                ready later, however urgent. Default: as many as the handlers do in 0.1 s, at most 4,000. Never more
                than that, nor than about 32 MiB (beside a claim under way, of 16 MiB at most). 0: only tasks whose
                handlers are free, which then start strictly by priority across the fleet: none waits here while
                a more urgent one becomes ready. The price is a claim of its own for each task.
            on_dependency_error: where the change that a handler returned is refused: `"retry"` counts the attempt
                as failed; `"ignore"` completes the task without the change; `"stop"` counts the attempt as failed
                and ends the worker, whose handlers get the grace; the DependencyError is raised here.

        Raises:
            ConfigurationError: an argument is not acceptable.
            DependencyError: see `on_dependency_error`.
            StorageError: MongoDB cannot be reached, or refuses, at the start.
        """
        job = self._job(
            handler,
            queues=queues,
            where=where,
            workers=workers,
            executor=executor,
            burst=burst,
            prefetch=prefetch,
            on_dependency_error=on_dependency_error,
        )
        self._read(schema.hello())  # before signals are taken over: it may wait for a server for 10 s
        rooms.handle.run_in_foreground(lambda done: self._start(job, done))

    @suggesting
    def start(
        self,
        handler: Function,
        *,
        queues: str | Sequence[str] = "default",
        where: Mapping[str, Any] | None = None,
        workers: int | None = None,
        executor: str | None = None,
        prefetch: int | None = None,
        on_dependency_error: str = "retry",
    ) -> WorkerHandle:
        """Do as `run` in background threads, and return a handle to stop it or wait for it.

        A DependencyError that ended the worker is the handle's `error`.
        """
        job = self._job(
            handler,
            queues=queues,
            where=where,
            workers=workers,
            executor=executor,
            prefetch=prefetch,
            on_dependency_error=on_dependency_error,
        )
        return self._start(job, lambda: None)

    @suggesting
    def run_once(
        self,
        handler: Function,
        *,
        queues: str | Sequence[str] = "default",
        where: Mapping[str, Any] | None = None,
        workers: int | None = None,
        executor: str | None = None,
        limit: int | None = None,
        prefetch: int | None = None,
        on_dependency_error: str = "retry",
    ) -> bool:
        """Run what is due now, at most `limit` tasks, then return whether more is ready.

        The other arguments are those of `run`.
        """
        job = self._job(
            handler,
            queues=queues,
            where=where,
            workers=workers,
            executor=executor,
            burst=True,
            limit=limit,
            prefetch=prefetch,
            on_dependency_error=on_dependency_error,
        )
        rooms.handle.run_in_foreground(lambda done: self._start(job, done))
        return self._read(rooms.queries.ready(self._context, job.queues, job.where))

    def stop(self) -> None:
        """Ask every worker of this object to stop, and return at once; may be called from a handler."""
        for handle in self._handles:
            handle.stop_soon()

    # By hand

    @suggesting
    def try_claim(
        self,
        queues: str | Sequence[str] = "default",
        *,
        lease: Duration | None = None,
        claimant: str | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> Task | None:
        """Lease the most urgent task that is due; None where there is none.

        End it with `complete`, `fail`, `retry`, `snooze`, `release` or `move`, within its lease or inside
        `keepalive`. Each of them raises LeaseLost, and writes nothing, where the task has gone to another claimant.

        Args:
            queues: up to 100 names; the most urgent task of all of them is taken.
            lease: for how long it is held, at least 1 s. Default: the task's own, else the queue's.
            claimant: who holds it then. Default: `claimant` of this object.
            where: only a task with these tags, as for `run`. A claim reads the ready tasks it passes over.
        """
        wanted = rooms.requests.checked_claim(queues, lease, _else(claimant, self._claimant), where)
        return self._write(rooms.claims.try_claim(self._context, wanted))

    @suggesting
    def claim(
        self,
        queues: str | Sequence[str] = "default",
        *,
        timeout: Duration | None = None,
        lease: Duration | None = None,
        claimant: str | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> Task | None:
        """Do as `try_claim`, and wait until there is a task; None where there was none within `timeout`.

        It starts within milliseconds of new work, of a task that falls due and of one whose worker vanished, told
        by a change stream and a timer; a poll (every second, or every 5 s beside a stream) is the floor. All who
        wait in this process for the same queues and tags share these, and a piece of news calls one of them.

        Args:
            timeout: how long to wait. Default: for ever; 0: as `try_claim`.

        The other arguments are those of `try_claim`.

        Raises:
            QueueClosed: the queue was closed meanwhile.
            StorageError: MongoDB does not answer, or refuses. Call again: unlike a worker it does not go on trying.
        """
        wanted = rooms.requests.checked_claim(queues, lease, _else(claimant, self._claimant), where)
        deadline = elapsed() + rooms.requests.checked_seconds("timeout", timeout)
        task = self.try_claim(queues, lease=lease, claimant=claimant, where=where)
        return self._hand().claim(wanted, deadline) if task is None and elapsed() < deadline else task

    @suggesting
    def claim_many(
        self,
        limit: int,
        queues: str | Sequence[str] = "default",
        *,
        lease: Duration | None = None,
        claimant: str | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> list[Task]:
        """Lease up to `limit` tasks (1 to 1,000) that are due, the most urgent first, in two round trips.

        They share one token, and one renewal keeps them all. What was lost with a claimant that vanished is held
        back to 16 of a batch, as it may be what ended it. The other arguments are those of `try_claim`.
        """
        wanted = rooms.requests.checked_claim(queues, lease, _else(claimant, self._claimant), where, limit)
        return self._write(rooms.claims.claim_batch(self._context, wanted))

    def renew(self, tasks: Task | Iterable[Task], lease: Duration | None = None) -> None:
        """Hold claimed tasks for `lease` from now on; by default each for its own. One update renews them all.

        A lease that ran out but that nobody took is renewed too.

        Raises:
            LeaseLost: it names those that are not held any more; the others are renewed.
            StorageUnavailable: some may not be renewed, as no majority answers or somebody's open transaction holds
                them. Call again; until it returns, the leases before count.
        """
        checker = Checker()
        length = rooms.requests.checked_lease(checker, lease)
        checker.finish()
        self._write(rooms.leases.renew_each(self._context, rooms.requests.checked_tasks(tasks), length))

    def keepalive(self, tasks: Task | Iterable[Task], lease: Duration | None = None) -> Keepalive:
        """Renew claimed tasks in the background while a `with` block runs: `with queue.keepalive(tasks) as kept:`.

        They are renewed at its beginning for `lease` (default: each for its own), then at every third of it, all in
        one update. Tasks that are ended inside the block through this object are renewed no more.

        A lease that was lost is never raised into the running block. There are three ways to learn of it:
        `kept.lost` names the tasks, `kept.check()` raises LeaseLost, and so does the end of a block that raises
        nothing itself. `task.cancelled` tells it too, and a cancel request, of the very objects passed in. A loss is
        seen within 2 s, and the end of a lease that could not be renewed at once.

        Raises:
            LeaseLost, StorageUnavailable: at the beginning, as from `renew`; the block is not entered.
        """
        checker = Checker()
        length = rooms.requests.checked_lease(checker, lease)
        checker.finish()
        return self._hand().keep(rooms.requests.checked_tasks(tasks), length)

    def complete(self, tasks: Task | Iterable[Task], result: Any = None) -> None:
        """End a claimed task, or several, as completed. InvalidTask where the result cannot be stored.

        With one task the result may be what a handler may return: new tasks, or a Modification, that take effect
        together with the completion.
        """
        self._end(tasks, rooms.verdict.Returned(result))

    def fail(self, tasks: Task | Iterable[Task], error: BaseException | str) -> None:
        """End a claimed task, or several, as failed, whatever retries are left."""
        signal = Fail(str(error))
        signal.__cause__ = error if isinstance(error, BaseException) else None
        self._end(tasks, rooms.verdict.Raised(signal))

    @suggesting
    def retry(self, task: Task, error: BaseException | str, *, delay: Duration | None = None) -> None:
        """Count the attempt as failed: run the task again after `delay` or its backoff, or fail it if used up."""
        signal = Retry(str(error), delay=delay)
        signal.__cause__ = error if isinstance(error, BaseException) else None
        self._end(task, rooms.verdict.Raised(signal))

    def snooze(self, tasks: Task | Iterable[Task], delay: Duration) -> None:
        """Run claimed tasks again after `delay`; the attempt is not charged."""
        self._end(tasks, rooms.verdict.Raised(Snooze(delay)))

    def release(self, tasks: Task | Iterable[Task]) -> None:
        """Give claimed tasks back: ready at once, in their old places, the attempt not charged."""
        self._end(tasks, rooms.verdict.Released())

    # The atomic change

    @suggesting
    def modify(
        self,
        modification: Modification | None = None,
        *,
        insert: Iterable[NewTask] = (),
        change: Iterable[Change] = (),
        delete: Iterable[TaskRef | Task] = (),
        depend: Iterable[TaskRef | Task] = (),
        session: Session | None = None,
    ) -> Modified:
        """Insert, change and delete tasks all together or not at all, and only if others are as they were read.

        Every task named must be at the version that was read (`task.ref` remembers it), and not be held by another
        claimant; what you hold you name by the task that your claim brought, whose ref is the proof. A lease that has
        run out holds nothing, from a second after its end on: that much the clocks may differ. Renewals leave the
        version alone. A changed task that you hold stays held by you, unless it arrives anew (`queue`, `delay`,
        `run_at`): then it is given up, its attempt not charged. A finished task may be deleted and depended on, not
        changed. In a replica set, what was accepted is durable; two changes that depend on what the other writes
        are never both accepted.

        Args:
            modification: the change as a value; or its parts:
            insert: `NewTask`s. One with `on_conflict="skip"` drops out where its key or `unique` value is taken.
            change: of `task.as_change(...)`.
            delete, depend: tasks or their refs.
            session: a ClientSession of the queue's own client with a transaction in progress: nothing is seen
                before you commit it. Default: the session bound in this context, or a transaction of its own.

        Costs a handful of round trips for up to 1,000 tasks. Write conflicts and fail-overs are tried again for
        10 s. When it raises StorageUnavailable with `ambiguous` set, the change may have been made: call again with
        the same Modification, and it is made once (where all its insertions have keys of their own, or it changes
        a task).

        Raises:
            InvalidTask: something is not acceptable; nothing was sent.
            DependencyError: refused; `missing`, `claimed` and `collisions` say why, and nothing was written.
            Unsupported: the server stands alone and has no transactions; a replica set of one node is enough.
        """
        whole = rooms.modification.Modification.of(modification, insert, change, delete, depend)
        joined = self._driver.joined(session)
        # What the caller's own transaction takes from a keepalive is only told by its commit, which is not seen here.
        with self._ending(whole.given_up if joined is None else []):
            return self._send(rooms.apply.modify(self._context, whole), joined)

    @contextmanager
    def transaction(self, task: Task, result: Any = None) -> Iterator[Session]:
        """Complete a task together with writes of your own: both take effect, or neither.

            with queue.transaction(task) as session:
                session.client["shop"]["orders"].update_one({...}, {...}, session=session)

        The block's writes must name the session, and be to collections of its client (`session.client`): open the
        queue on your own MongoClient, or use this one. The completion is the first write of the transaction and
        holds the task until its end, so nobody else can take it. The lease is renewed once before, for two minutes
        where it does not last that long, and not during the block; after one that raised, a worker and a `keepalive`
        bring it back to its own length. Where the task has already gone to another, the block is not entered. Of a
        process that dies inside the block the task is rescued when those two minutes are over.

        The block should be short: MongoDB aborts a transaction after 60 s. It is not repeated: what it raises
        aborts the transaction and passes on. Raised from a handler, a transient error (it bears the label
        `TransientTransactionError`: a write conflict, a fail-over) costs the task no attempt, it runs again after a
        pause of 0.1 to 10 s, the longer the more often it was given back; any other error, and one after 60 s, is a
        failure. By hand, begin again where you see that label. After the block the task is completed, whatever its
        handler returns or raises then. A coroutine calls a function with such a block by `asyncio.to_thread`.

        Raises:
            ConfigurationError: `task` is no task.
            InvalidTask: the result cannot be stored, or names tasks to follow: enqueue those in the block.
            LeaseLost: the task is not held any more; nothing was written.
            StorageUnavailable: the commit failed; with `ambiguous`, it may have been made.
            Unsupported: the server stands alone and has no transactions; a replica set of one node is enough.
        """
        held = rooms.requests.checked_task(task)
        first = functools.partial(rooms.finish.complete_first, self._context, held, result, self._claimant)
        renew = functools.partial(self.renew, held)
        with (
            self._ending([held]),
            rooms.task_transaction.holding_lease(held, renew),
            self._driver.transaction(first) as session,
        ):
            yield session

    # Looking and administering

    def get(self, key: str) -> Task:
        """The task with this key. TaskNotFound where there is none, or none any more."""
        return self._read(rooms.queries.get(self._context, rooms.requests.checked_key(key)))

    @suggesting
    def tasks(
        self,
        *,
        queue: str | None = None,
        state: TaskState | str | None = None,
        keys: Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
        claimant: str | None = None,
        mine: bool = False,
        payload: bool = True,
        limit: int | None = 100,
    ) -> list[Task]:
        """The tasks that match, ordered by key; `limit=None` brings all of them into memory.

        `where` asks for tags as in `run`; `claimant` for what is held under this name, `mine` for what is held
        under the name of this object, with the proofs of their claims: what was claimed under the same name before
        a restart can so be gone on with. `payload=False` leaves payloads out. Without a queue, keys or a claimant it
        reads the whole collection.
        """
        holder = rooms.requests.checked_claimant(claimant, self._claimant, mine=mine)
        chosen = rooms.requests.checked_selection(
            queue=queue, state=state, keys=keys, where=where, claimant=holder, limit=limit
        )
        hidden = [*(() if mine else fields.PROOFS), *(() if payload else (fields.PAYLOAD,))]
        return self._read(
            rooms.queries.tasks(self._context, _matching(chosen), claimant=holder, limit=limit or 0, hidden=hidden)
        )

    @suggesting
    def count(
        self,
        *,
        queue: str | None = None,
        state: TaskState | str | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> int:
        """How many tasks match. Without a queue and a state, or with tags, it reads the tasks it counts."""
        chosen = rooms.requests.checked_selection(queue=queue, state=state, where=where)
        return self._read(rooms.queries.count(self._context, _matching(chosen)))

    def size(self, queue: str | None = None) -> int:
        """How many tasks of one queue, or of all, are not finished: ready, scheduled or running, at one moment.

        On a standalone server the states are counted one after the other.
        """
        return self._read(rooms.queries.size(self._context, queue, LIVE))

    @suggesting
    def stats(
        self,
        queues: str | Sequence[str] | None = None,
        *,
        prefix: str | None = None,
        limit: int | None = None,
        attempts: bool = False,
    ) -> dict[str, QueueStats]:
        """How many tasks stand where, by queue; counted in the indexes, about 1 s per million tasks.

        The states are counted one after the other: a task that moves meanwhile may be counted twice, or not at all.

        Args:
            queues: only these; or
            prefix: only those whose names begin so.
            limit: only the first so many of them, by name.
            attempts: find `most_attempts` too. That reads every unfinished task instead of an index: 0.21 s instead
                of 0.19 for 100,000 tasks in the server's memory, longer where they have to come from its disk.
        """
        names = rooms.requests.checked_names(queues, prefix, limit)
        rows = self._read(rooms.queries.stats(self._context, filters.named(names, prefix), attempts=attempts))
        return dict(itertools.islice(rows.items(), limit))

    @suggesting
    def queues(
        self, *, prefix: str | None = None, exact: str | Sequence[str] | None = None, limit: int | None = None
    ) -> dict[str, int]:
        """The queues that have tasks, and how many of them are not finished.

        Only those whose names begin with `prefix`, or are among `exact`; the first `limit` of them, by name.
        """
        return {name: row.size for name, row in self.stats(exact, prefix=prefix, limit=limit).items()}

    @suggesting
    def empty(self, queues: str | Sequence[str] | None = None, *, prefix: str | None = None) -> bool:
        """Whether these queues (default: all; or those whose names begin with `prefix`) have no unfinished task."""
        names = rooms.requests.checked_names(queues, prefix)
        return self._read(rooms.queries.empty(self._context, filters.named(names, prefix)))

    @suggesting
    def join(
        self,
        queues: str | Sequence[str] | None = None,
        *,
        prefix: str | None = None,
        timeout: Duration | None = None,
    ) -> bool:
        """Wait until `empty` of the same arguments holds; False where it did not within `timeout`.

        It looks twice a second. A task that waits for a retry or for its time is unfinished, and is waited for.
        """
        named = filters.named(rooms.requests.checked_names(queues, prefix), prefix)
        patience = rooms.requests.checked_seconds("timeout", timeout)
        return self._hand().until(lambda: self._read(rooms.queries.empty(self._context, named)), patience)

    @suggesting
    def wait(self, task: Task | str, *, timeout: Duration | None = None) -> Task | None:
        """Wait until a task (or the one with this key) has finished, and return it; None where it has not by then.

        Its `state` says how it ended, `result` what its handler returned, `last_error` why it failed. The end is
        told within milliseconds by a change stream; a look every second is the floor, and all there is on a
        standalone server and for the ninth who waits at once in this process.

        Raises:
            TaskNotFound: there is no such task, or it has gone meanwhile: it was deleted, or completed under
                `keep_completed=0`, which deletes it too. Keep a task whose end you wait for, if only for a minute.
            QueueClosed: the queue was closed meanwhile; noticed within a second.
        """
        key = task.key if isinstance(task, Task) else rooms.requests.checked_key(task)
        return self._hand().finished(key, rooms.requests.checked_seconds("timeout", timeout))

    def workers(self) -> list[WorkerInfo]:
        """The worker processes that sent a heartbeat within the last minute."""
        return self._read(rooms.heartbeat.workers(self._context))

    @overload
    def cancel(self, key: str) -> Task: ...

    @overload
    def cancel(
        self,
        *,
        queue: str | None = None,
        state: TaskState | str | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> int: ...

    @suggesting
    def cancel(
        self,
        key: str | None = None,
        *,
        queue: str | None = None,
        state: TaskState | str | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> Task | int:
        """Cancel waiting tasks now, and ask the handlers of running ones to stop (they learn within 2 s).

        With a key alone: that task, returned as it stands then; a finished one is left as it is. Raises TaskNotFound.

        Else those that match, in batches of 1,000: how many were cancelled, or asked to stop.
        """
        chosen = rooms.requests.checked_choice(key, queue, state, where)
        if key is not None:
            return self._write(rooms.bulk.cancel(self._context, rooms.requests.checked_key(key)))
        return self._write(rooms.bulk.cancel_all(self._context, _matching(chosen), chosen.state))

    @suggesting
    def delete(
        self,
        key: str | None = None,
        *,
        queue: str | None = None,
        state: TaskState | str | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> int:
        """Delete one task, or those that match, in batches of 1,000; how many were. Never one that runs.

        Raises:
            TaskNotFound: no task has this key.
            WrongState: the task with this key runs: cancel it first.
            ConfigurationError: neither a key nor anything to choose by is given, or both are.
        """
        chosen = rooms.requests.checked_choice(key, queue, state, where)
        if key is not None:
            return self._write(rooms.bulk.delete(self._context, rooms.requests.checked_key(key)))
        return self._write(rooms.bulk.delete_all(self._context, _matching(chosen), chosen.state))

    @suggesting
    def purge(
        self,
        *,
        queue: str | None = None,
        state: TaskState | str | None = None,
        older_than: Duration = 0,
    ) -> int:
        """Delete finished tasks now instead of after `keep_completed` or `keep_failed`; how many were.

        Only those of one queue, in one state, or finished longer ago than `older_than`; without arguments, all.
        """
        chosen = rooms.requests.checked_selection(queue=queue, state=state)
        age = timedelta(seconds=rooms.requests.checked_seconds("older_than", older_than))
        return self._write(rooms.bulk.delete_all(self._context, _matching(chosen), chosen.state, older_than=age))

    @suggesting
    def move(
        self,
        tasks: Task | Iterable[Task] | str | None = None,
        to: str = "",
        *,
        queue: str | None = None,
        state: TaskState | str | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> int:
        """Put tasks into the queue `to`, each with a fresh count of attempts there; how many were.

        - Claimed tasks, as they were claimed: they are ready there. LeaseLost names those not held any more.
        - The waiting task with a key. Raises TaskNotFound, and WrongState where it runs or has finished.
        - Without either, those that match and wait, in batches of 1,000. Their `run_at` stays.
        """
        rooms.requests.checked_target(to)
        chosen = rooms.requests.checked_choice(tasks, queue, state, where)
        if isinstance(tasks, str):
            return self._write(rooms.bulk.move(self._context, tasks, to))
        if tasks is not None:
            return self._end(tasks, rooms.verdict.Raised(Move(to)))
        return self._write(rooms.bulk.move_all(self._context, _matching(chosen), chosen.state, to))

    @suggesting
    def update(
        self,
        key: str,
        *,
        priority: int | None = None,
        delay: Duration | None = None,
        run_at: datetime | None = None,
        expires_at: datetime | None = None,
    ) -> Task:
        """Change a waiting task, and return it as it is then. The options are those of `new`; None changes nothing.

        Raises TaskNotFound, and WrongState where the task runs or has finished, or its document (a foreign producer's)
        has no usable version.
        """
        change = rooms.requests.checked_change(key, priority, delay, run_at, expires_at)
        return self._write(rooms.bulk.update(self._context, key, **change))

    @suggesting
    def retry_failed(self, keys: Sequence[str] | None = None, *, queue: str | None = None) -> int:
        """Run failed tasks again, with a fresh count of attempts: these, or all of one queue, or all; how many.

        Those that are not failed, or whose `unique` value an unfinished task has by now, are left alone.
        """
        checker = Checker()
        checked_keys(checker, keys)
        checker.finish()
        return self._write(rooms.requeue.retry_failed(self._context, keys, queue))

    @suggesting
    def send_home(self, queue: str, keys: Sequence[str] | None = None) -> int:
        """Send the tasks of an error queue back to where they came from (`moved_from`); how many were.

        All that are ready, scheduled or failed there, or only those with these keys. They are ready at once, with a
        fresh count of attempts, and keep their errors.
        """
        checker = Checker()
        checker.matching("queue", queue, QUEUE_NAME)
        checked_keys(checker, keys)
        checker.finish()
        return self._write(rooms.requeue.send_home(self._context, queue, keys))

    def time(self) -> datetime:
        """The server's clock, by which everything is scheduled."""
        return self._read(schema.server_time())

    def standalone(self) -> bool:
        """Whether the server is no member of a replica set: what it acknowledged may then be lost with it."""
        return "setName" not in self._read(schema.hello())

    def init(self) -> list[str]:
        """Make the indexes that are missing, and return their names.

        A new namespace gets them at first use; this is for a collection that has been filled without them.
        """
        return self._read(schema.init(self._context))

    @property
    def namespace(self) -> str:
        """The prefix of the collections."""
        return self._context.namespace

    @property
    def claimant(self) -> str:
        """Who claims by hand through this object."""
        return self._claimant

    @property
    def telemetry(self) -> Telemetry:
        """The events of this object's workers: `queue.telemetry.subscribe(listener)`."""
        return self._telemetry

    def close(self) -> None:
        """Stop this object's workers and close what it opened; a client handed in stays open."""
        if not self._closed:
            for handle in self._handles[1:]:
                handle.stop_soon()  # all together, so that none goes on while another has its grace
            for handle in self._handles:
                handle.stop()
            self._closed = True
            if self._by_hand is not None:
                self._by_hand.close()
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Queue {self._context.namespace!r} at {self._connection.where}>"

    def _job(
        self,
        handler: Function,
        *,
        queues: str | Sequence[str],
        where: Mapping[str, Any] | None,
        workers: int | None,
        executor: str | None,
        prefetch: int | None,
        on_dependency_error: str,
        burst: bool = False,
        limit: int | None = None,
    ) -> WorkerConfig:
        wanted = rooms.requests.checked_claim(queues, None, self._claimant, where)
        checker = Checker()
        count = checked_workers(checker, workers)
        if limit is not None:
            checker.integer("limit", limit, 1, 10**9)
        if prefetch is not None:
            checker.integer("prefetch", prefetch, 0, 10_000)
        checker.one_of("on_dependency_error", on_dependency_error, rooms.config.ON_DEPENDENCY_ERROR)
        checker.finish()
        return rooms.starting.checked_config(
            handler,
            executor,
            wanted,
            count or self._context.options.workers,
            burst=burst,
            limit=limit,
            prefetch=prefetch,
            on_dependency_error=on_dependency_error,
        )

    def _start(self, job: WorkerConfig, done: Callable[[], None]) -> WorkerHandle:
        self._write(schema.hello())
        return rooms.starting.start(
            self._context, self._connection, self._write, job, telemetry=self._telemetry, done=done, made=self._note
        )

    def _note(self, handle: WorkerHandle) -> None:
        self._handles = [known for known in self._handles if not known.stopped] + [handle]

    def _end(self, tasks: Task | Iterable[Task], ending: Ending) -> int:
        held = rooms.requests.checked_tasks(tasks)
        with self._ending(held):
            self._write(rooms.finish.settle(self._context, held, ending, self._claimant))
        return len(held)

    def _ending(self, tasks: Sequence[Claimed]) -> AbstractContextManager[None]:
        return self._by_hand.ending(tasks) if self._by_hand else nullcontext()

    def _hand(self) -> ByHand:
        with self._making:
            if self._by_hand is None:
                self._by_hand = rooms.by_hand.ByHand(
                    self._context, self._connection, self._write, self._claimant, telemetry=self._telemetry
                )
        return self._by_hand

    def _send(self, op: Op[T], session: Session | None = None) -> T:
        """Make new work, and wake this object's own workers and who waits for a claim."""
        sent = self._write(op, session)
        if self._by_hand is not None:
            self._by_hand.call()
        for handle in self._handles:
            handle.wake()
        return sent

    def _stream(
        self,
        tasks: Iterable[Tags | NewTask],
        options: Mapping[str, Any],
        session: Session | None,
        only: Sequence[str] | None = None,
    ) -> Iterator[tuple[list[Draft], Others]]:
        chunks = enqueue.chunks(self._context, each(tasks, options))
        self._measure()  # it drafts the first one before anything else is sent
        kind = enqueue if session is None else rooms.enlist
        return rooms.streaming.stream(
            lambda chunk: self._send(kind.chunk(self._context, chunk, only=only), session),
            chunks,
            ahead=session is None,
        )

    def _write(self, op: Op[T], session: Session | None = None) -> T:
        """Run an operation after making sure that the indexes are there: once, and again if they go missing."""
        if not self._ready:
            self._read(schema.ensure(self._context))
            self._ready = True
        try:
            return self._read(op, session)
        except IndexMissing:
            self._ready = False
            raise

    def _read(self, op: Op[T], session: Session | None = None) -> T:
        self._check_open()
        return self._driver.run(op, session)

    def _measure(self) -> None:
        self._check_open()
        self._driver.measure()

    def _check_open(self) -> None:
        if self._closed:
            raise QueueClosed("this queue was closed")


def _matching(chosen: TaskFilter) -> Filter:
    return filters.matching(queue=chosen.queue, state=chosen.state, keys=chosen.keys, where=chosen.where)


def _else(given: str | None, default: str) -> str:
    return default if given is None else given
