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

    A return completes the task; its value is kept as the result. A `Modification`, a `NewTask` or a list of
    them is carried out together with the completion, or neither is; where it deletes or changes the task
    itself, that takes the place of the completion. `Done(result, then=[...])` gives both, a result and what
    follows. A result that cannot be stored is kept as text. `Retry`, `Snooze`, `Fail`, `Cancel` and `Move` steer
    the task, `Stop` ends this worker; any other exception is a failure, retried by the backoff. A task is run at
    least once, and may be run again where its worker vanished or was cut off: make handlers idempotent.

    SIGTERM, SIGINT or `stop()` end it: no more claims, running handlers get the grace, what is left is
    released with its attempt back. A second signal stops at once. When MongoDB does not answer, the worker
    goes on trying. Signals are taken over only in the main thread, and once the server has answered.

    Args:
        handler: a function or a coroutine function for all tasks; at most `workers` of them run at once. Default: the
            task functions of this queue, each for the tasks of its name. One of them runs only its own.
        queues: up to 10,000 names. The order of claims is by priority across all of them. Default: `"default"`; of task
            functions the queues that they name.
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
        batch: the handler takes a list of at most so many tasks, from 1 to 1,000. It returns None, which completes all
            of them, or a list with an entry for each task: its result, or an exception, as if it was raised for that
            task alone. What it raises counts for each task.
        wait: the seconds, from 0.01 to 3,600, for which the first task of a batch waits for the others; default: 0.5.
        max_tasks_per_child, max_memory_per_child: of `executor="processes"`: a child that was given so many tasks, or
            has so many bytes of memory between two of them, ends and another takes its place, which takes 0.4 s; no
            task is charged. For libraries that leak.
        on_dependency_error: where the change that a handler returned is refused: `"retry"` counts the attempt
            as failed; `"ignore"` completes the task without the change; `"stop"` counts the attempt as failed
            and ends the worker, whose handlers get the grace; the DependencyError is raised here.
        retry_on, no_retry_on, failure_message: override the queue's, for tasks that do not carry their own.

    Raises:
        ConfigurationError: an argument is not acceptable.
        DependencyError: see `on_dependency_error`.
        Stop: a handler raised it; handlers that ran had the grace.
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
    """Run the tasks that are due now, then return whether more is ready.

    Each of them runs once: what fails and is due again at once, what falls due meanwhile and what handlers enqueue is
    for the next call. With `limit` at most so many tasks run, the most urgent first, whenever they came. The other
    arguments are those of `run`.

    SIGTERM or SIGINT end it as they end `run`, and then do what they would have done without it: a handler of the
    caller's is called, KeyboardInterrupt or else SystemExit is raised. `while queue.run_once(...)` ends, too.
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
