"""From what a user asks for to a running worker. The facade imports this only when there is something to run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mongoq.core.events import Signpost, Telemetry
from mongoq.core.host.limits import load_unwinder
from mongoq.core.judging.policy import Policy
from mongoq.core.judging.retrying import RetryRules
from mongoq.core.requests import ClaimRequest
from mongoq.core.validation import Checker
from mongoq.storage.context import Context
from mongoq.storage.drivers.streaming.change_stream import QueueStream
from mongoq.storage.drivers.streaming.signal_tail import SignalTail
from mongoq.worker import crowding
from mongoq.worker.config import WorkerConfig
from mongoq.worker.engine import Engine
from mongoq.worker.executors.children.wear import NO_WEAR, Wear, check_no_wear
from mongoq.worker.fleet.watcher import Streams
from mongoq.worker.handle import WorkerHandle
from mongoq.worker.handlers.hooks import with_hooks
from mongoq.worker.handlers.signature import (
    ASYNCIO,
    IMPORTABLE,
    PROCESSES,
    checked_handler,
    default_workers,
    importable,
)
from mongoq.worker.runtime import Run


def checked_config(
    function: Any,
    executor: str | None,
    wanted: ClaimRequest,
    workers: int | None,
    *,
    burst: bool,
    limit: int | None,
    on_dependency_error: str,
    prefetch: int | None,
    policy: Policy,
    middleware: Sequence[Any] = (),
    begin: Callable[[Any], object] | None = None,
    lifespan: Any = None,
    wear: Wear = NO_WEAR,
    batch: tuple[Any, Any] = (None, None),
) -> WorkerConfig:
    """What a worker is to do; ConfigurationError where the handler and the executor do not fit."""
    handler, chosen = checked_handler(function, executor, batch=batch[0], wait=batch[1])
    if middleware or lifespan is not None:
        handler = with_hooks(handler, chosen, middleware, lifespan)
    if begin is not None:
        handler = replace(handler, begin=begin)
    if chosen == PROCESSES:
        _check_predicates(policy, handler.policies)
    else:
        check_no_wear(wear, chosen)
    return WorkerConfig(
        handler,
        chosen,
        wanted.queues,
        workers or default_workers(chosen),
        burst,
        limit,
        wanted.where,
        on_dependency_error,
        prefetch,
        policy=policy,
        names=wanted.names,
        wear=wear,
    )


def _check_predicates(policy: Policy, local: Mapping[str, Mapping[str, Any]]) -> None:
    checker = Checker()
    for rules in (policy.rules, *(RetryRules().over(own) for own in local.values())):
        for name, matchers in rules._asdict().items():
            for matcher in matchers or ():
                if not isinstance(matcher, str) and not importable(matcher):
                    checker.refuse(name, matcher, IMPORTABLE)
    checker.finish()


def start(
    context: Context,
    stream_run: Run,
    run: Run,
    job: WorkerConfig,
    *,
    telemetry: Telemetry,
    done: Callable[[], None],
    made: Callable[[WorkerHandle], None],
    client: Any,
    loop: asyncio.AbstractEventLoop | None = None,
) -> WorkerHandle:
    """Start a worker in threads of its own; it calls `done` when it has ended.

    `made` gets the handle before the first task runs: a handler may stop its own queue. `stream_run` runs what reads
    the change stream; `client` is what all of it goes through. Coroutine handlers run on `loop`; None: on one of the
    worker's own.
    """
    context = replace(context, options=replace(context.options, policy=job.policy, local=job.handler.policies))
    queue_stream = QueueStream(stream_run, context, job.where, job.names)
    streams = Streams(queue_stream, lambda place: SignalTail(stream_run, context, place))
    job = replace(job, pool=crowding.pool_of(client))
    if not job.burst and crowding.crowded(client):
        job = replace(job, news=False)
    if job.executor == ASYNCIO:
        job = replace(job, loop=loop)
    engine = Engine(context, run, job, streams, telemetry=telemetry, done=done)
    handle = WorkerHandle(engine, context.options.grace.total_seconds())
    crowding.note(handle, client)
    load_unwinder()

    def begin() -> None:
        made(handle)
        telemetry.emit(Signpost.WORKER_STARTED, worker=engine.worker)  # before its first attempt starts

    engine.start(begin)
    return handle
