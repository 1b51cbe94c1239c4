"""Verbs of workers in the foreground: run a handler for the tasks of some queues, until it is stopped or once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mongoq.api.base import Base
from mongoq.api.starting import configured, drained, started
from mongoq.api.verb import verb
from mongoq.core.host.waiter import Waiter
from mongoq.core.judging.retrying import RetryOn
from mongoq.core.validation import UNSET, Duration, Unset
from mongoq.storage.commands import Op
from mongoq.storage.control import Call, Loop, Wait
from mongoq.storage.operations import queries, schema
from mongoq.storage.operations.namespace import due, orders

if TYPE_CHECKING:
    from mongoq.worker.config import WorkerConfig
    from mongoq.worker.handlers.signature import Function


@verb
def run(
    base: Base,
    handler: Function | None = None,
    *,
    queues: str | Sequence[str] | None = None,
    where: Mapping[str, Any] | None = None,
    workers: int | None = None,
    executor: str | None = None,
    burst: bool = False,
    prefetch: int | None = None,
    on_dependency_error: str = "retry",
    batch: int | None = None,
    wait: Duration | None = None,
    max_tasks_per_child: int | None = None,
    max_memory_per_child: int | None = None,
    retry_on: RetryOn | Unset | None = UNSET,
    no_retry_on: RetryOn | Unset = UNSET,
    failure_message: str | Unset | None = UNSET,
) -> Op[None]:
    """Run the queue's task functions, or `handler(task)` (or `handler(attempt, task)`), until it is stopped.

    A return completes the task, and the value is its result. If the value is a `NewTask`, a list of them or a
    `Modification`, it takes effect together with the completion, or neither does; a modification that deletes or
    changes the task itself takes the place of the completion. `Done(result, then=[...])` gives a result and new tasks.
    A result that cannot be stored is kept as text. `Retry`, `Snooze`, `Fail`, `Cancel` and `Move` steer the task,
    `Stop` ends this worker; any other exception is a failure, which is retried after the backoff. A task runs at
    least once, and again if its worker vanished or was cut off: make handlers idempotent.

    SIGTERM, SIGINT or `stop()` end it: it claims nothing more, running handlers get the grace, and unfinished tasks are
    released uncharged. A second signal stops it at once. While MongoDB does not answer, the worker keeps trying.
    Signals are handled only in the main thread, and once the server has answered.

    Args:
        handler: a function or a coroutine function for all tasks; at most `workers` of them run at once. Default: the
            task functions of this queue, each for the tasks of its name. A task function runs only its own tasks.
        queues: up to 10,000 names. The order of claims is by priority across all of them. Default: `"default"`; of task
            functions the queues that they name.
        where: only tasks with these tags, by MongoDB's equality: None also matches a missing tag, 1 also a list
            that contains it. Tags are in no index: each claim, also of an idle worker, reads the ready tasks that it
            passes over. If most are passed over, put these tasks into a queue of their own.
        workers: overrides the queue's.
        executor: where handlers run: `"threads"`; `"asyncio"`, one event loop in a thread of its own; or
            `"processes"`, children that import the handler, a function at the top level of a module. They
            use all cores, and a deadline, a cancel or a crash ends a child alone, whatever it was doing.
            Default: coroutine functions run on asyncio, others in threads.
        burst: return when no task is ready and none runs.
        prefetch: claim at most so many tasks ahead of the free handlers; they start before tasks that become ready
            later, however urgent those are. Default: as many as the handlers run in 0.1 s, at most 4,000 and about
            32 MiB (beside a claim under way, of 16 MiB at most); a larger number does not raise that. 0: claim only for
            free handlers, so that tasks start strictly by priority across the fleet, at the price of a claim for
            each task.
        batch: the handler takes a list of at most so many tasks, from 1 to 1,000. It returns None, which completes all
            of them, or a list with an entry for each task: its result, or an exception, as if raised for that task
            alone. An exception that the handler raises counts for each task.
        wait: the seconds, from 0.01 to 3,600, for which the first task of a batch waits for the others; default: 0.5.
        max_tasks_per_child, max_memory_per_child: with `executor="processes"`, replace a child between two tasks once
            it has run so many tasks, or has so many bytes of resident memory: for libraries that leak. It takes 0.4 s
            and charges no task.
        on_dependency_error: what to do if the change that a handler returned is refused: `"retry"` counts the attempt
            as failed; `"ignore"` completes the task without the change; `"stop"` counts the attempt as failed
            and ends the worker, whose handlers get the grace; the DependencyError is raised here.
        retry_on, no_retry_on, failure_message: override the queue's, for tasks that do not carry their own.

    Raises:
        ConfigurationError: an argument is not acceptable.
        DependencyError: see `on_dependency_error`.
        Stop: a handler raised it; the other running handlers had the grace.
        StorageError: MongoDB cannot be reached, or refuses, at the start.
    """
    config = configured(
        base,
        handler,
        queues=queues,
        where=where,
        workers=workers,
        executor=executor,
        burst=burst,
        prefetch=prefetch,
        on_dependency_error=on_dependency_error,
        policy={"retry_on": retry_on, "no_retry_on": no_retry_on, "failure_message": failure_message},
        wear=(max_tasks_per_child, max_memory_per_child),
        batch=(batch, wait),
    )
    yield from base.read(schema.hello())  # before signals are taken over: it may wait for a server for 10 s
    yield from _run(base, config)


@verb
def run_once(
    base: Base,
    handler: Function | None = None,
    *,
    queues: str | Sequence[str] | None = None,
    where: Mapping[str, Any] | None = None,
    workers: int | None = None,
    executor: str | None = None,
    limit: int | None = None,
    prefetch: int | None = None,
    on_dependency_error: str = "retry",
    batch: int | None = None,
    wait: Duration | None = None,
    max_tasks_per_child: int | None = None,
    max_memory_per_child: int | None = None,
    retry_on: RetryOn | Unset | None = UNSET,
    no_retry_on: RetryOn | Unset = UNSET,
    failure_message: str | Unset | None = UNSET,
) -> Op[bool]:
    """Run the tasks that are due now, then return whether more are ready.

    Each of them runs once: tasks that fail and are due again at once, that become due meanwhile or that handlers
    enqueue are left for the next call. With `limit` at most so many tasks run, the most urgent first, whenever they
    came. The other arguments are those of `run`.

    SIGTERM or SIGINT end it as they end `run`, and then do what they would have done without it: the caller's own
    signal handler is called, else KeyboardInterrupt or SystemExit is raised. So `while queue.run_once(...)` ends, too.

    Raises:
        ConfigurationError, DependencyError, Stop, StorageError: as from `run`.
    """
    config = configured(
        base,
        handler,
        queues=queues,
        where=where,
        workers=workers,
        executor=executor,
        burst=True,
        limit=limit,
        prefetch=prefetch,
        on_dependency_error=on_dependency_error,
        policy={"retry_on": retry_on, "no_retry_on": no_retry_on, "failure_message": failure_message},
        wear=(max_tasks_per_child, max_memory_per_child),
        batch=(batch, wait),
    )
    if limit is None:
        yield from base.read(orders.read(base.context))
        config = replace(config, due_by=(yield from base.read(due.by_now(base.context))))
    yield from _run(base, config, once=True)
    return (
        yield from base.read(queries.ready(base.context, config.queues, config.where, config.names, config.stubborn))
    )


def _run(base: Base, config: WorkerConfig, *, once: bool = False) -> Op[None]:
    """Run a worker until it is done or stopped: by a signal in a blocking queue, by cancelling in an awaited one."""
    if (yield Loop()) is None:
        from mongoq.worker.handle import run_in_foreground  # noqa: PLC0415 -- a producer is spared the worker

        begin = lambda done: base.driver.run(started(base, config, done))  # noqa: E731
        yield Call(lambda: run_in_foreground(begin, passes_on=once))
        return
    done = Waiter()
    handle = yield from started(base, config, done.notify, drains=True)
    cancelled: BaseException | None = None
    try:
        yield Wait(done)
    except GeneratorExit:
        handle.stop_soon(0)
        raise
    except BaseException as error:  # noqa: BLE001 -- a cancelled coroutine drains as a worker does at SIGTERM
        cancelled = error
    cancelled = (yield from drained(handle)) or cancelled
    if cancelled is not None:
        raise cancelled
    if handle.error is not None:
        raise handle.error
