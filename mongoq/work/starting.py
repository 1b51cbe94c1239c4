"""From what a user asks for to a running worker. The facade imports this only when there is something to run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mongoq.arguments import Wanted
from mongoq.storage.connection import Connection
from mongoq.storage.context import Context
from mongoq.storage.wakeups import Wakeups, new_work
from mongoq.telemetry import Telemetry
from mongoq.work.engine import Engine
from mongoq.work.handle import WorkerHandle
from mongoq.work.handler import checked_handler, default_workers
from mongoq.work.job import Job
from mongoq.work.shared import Run


def checked_job(
    function: Any,
    executor: str | None,
    wanted: Wanted,
    workers: int | None,
    *,
    burst: bool,
    limit: int | None,
    on_dependency_error: str,
    prefetch: int | None,
) -> Job:
    """What a worker is to do; ConfigurationError where the handler and the executor do not fit."""
    handler, chosen = checked_handler(function, executor)
    return Job(
        handler,
        chosen,
        wanted.queues,
        workers or default_workers(chosen),
        burst,
        limit,
        wanted.where,
        on_dependency_error,
        prefetch,
    )


def start(
    context: Context,
    connection: Connection,
    run: Run,
    job: Job,
    *,
    telemetry: Telemetry,
    done: Callable[[], None],
    made: Callable[[WorkerHandle], None],
) -> WorkerHandle:
    """Start a worker in threads of its own; it calls `done` when it has ended.

    `made` gets the handle before the first task runs: a handler may stop its own queue.
    """
    stream = Wakeups(connection, context, new_work(job.queues, job.where))
    engine = Engine(context, run, job, stream, telemetry=telemetry, done=done)
    handle = WorkerHandle(engine, context.options.grace.total_seconds())
    engine.start(lambda: made(handle))
    return handle
