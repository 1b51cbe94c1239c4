"""`mongoq worker`: run a queue of the user with its task functions, or a function as the handler of some queues."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from mongoq import AsyncQueue, Queue
from mongoq.cli.init import fork_as_init
from mongoq.cli.options import AsJson, Place, names, place, refuse, span_option, tags, warn_of_standalone
from mongoq.cli.output import clean, print_json
from mongoq.cli.serving.loading import EarlySignals, loaded
from mongoq.cli.serving.reload import reloading
from mongoq.cli.serving.running import counted, until_signalled
from mongoq.cli.serving.surroundings import Surroundings, checked_format

log = logging.getLogger("mongoq.cli")


def worker(
    context: typer.Context,
    *,
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:QUEUE|MODULE:FUNCTION",
            show_default=False,
            help="A queue with its task functions, or a handler: function(task).",
        ),
    ],
    modules: Annotated[
        str | None, typer.Option("--import", metavar="NAME,NAME...", help="Modules to import first.")
    ] = None,
    reload: Annotated[
        bool, typer.Option("--reload", help="Restart when a source file here changes; for development.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="Handlers that run at once. Default: the CPU cores; 100 coroutines.")
    ] = None,
    executor: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="threads, asyncio or processes. Default: asyncio for coroutines, else threads."
        ),
    ] = None,
    queues: Annotated[
        str | None,
        typer.Option(metavar="NAME,NAME...", help="The queues to work on. Default: `default`, or what functions name."),
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Only tasks with this tag; may be repeated.")
    ] = None,
    burst: Annotated[bool, typer.Option("--burst", help="Stop when no task is ready.")] = False,
    prefetch: Annotated[
        int | None,
        typer.Option(help="Tasks claimed ahead at most; 0: strictly by priority. Default: 0.1 s of work, up to 4,000."),
    ] = None,
    max_retries: Annotated[int | None, typer.Option(help="Retries after the first attempt. Default: no limit.")] = None,
    backoff: Annotated[timedelta | None, span_option("The step of the wait before each retry. Default: 10s.")] = None,
    deadline: Annotated[timedelta | None, span_option("The longest one attempt may run. Default: no limit.")] = None,
    lease: Annotated[timedelta | None, span_option("How long a task is held without renewal. Default: 30s.")] = None,
    keep_completed: Annotated[timedelta | None, span_option("For completed tasks; 0: deleted. Default: 1h.")] = None,
    keep_failed: Annotated[timedelta | None, span_option("For failed tasks. Default: 30d.")] = None,
    retry_on: Annotated[
        str | None, typer.Option(metavar="NAME,NAME...", help="Exception classes that are retried. Default: all.")
    ] = None,
    no_retry_on: Annotated[
        str | None, typer.Option(metavar="NAME,NAME...", help="Exception classes that fail a task at once.")
    ] = None,
    failure_message: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The first text of the log record of a failed task.")
    ] = None,
    grace: Annotated[timedelta | None, span_option("For running handlers at a stop. Default: 25s.")] = None,
    error_queue: Annotated[
        bool, typer.Option("--error-queue", help="Move tasks that fail to the queue NAME/err.")
    ] = False,
    on_dependency_error: Annotated[
        str,
        typer.Option(metavar="WHAT", help="If the change that a handler returned is refused: retry, ignore or stop."),
    ] = "retry",
    max_tasks_per_child: Annotated[
        int | None, typer.Option(min=1, help="With processes: replace a child after so many tasks.")
    ] = None,
    max_memory_per_child: Annotated[
        int | None, typer.Option(min=1, metavar="MIB", help="With processes: replace a child that has more memory.")
    ] = None,
    release: Annotated[
        str | None, typer.Option(metavar="NAME", help="The release of this code, to be marked in the history.")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Serve /metrics for Prometheus here. Needs mongoq[prometheus].")
    ] = None,
    health_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Serve /live and /ready for probes here.")
    ] = None,
    log_format: Annotated[
        str, typer.Option(metavar="text|json", help="How log lines are written. Default: text.")
    ] = "text",
    as_json: AsJson = False,
) -> None:
    """Run the task functions of MODULE:QUEUE, or MODULE:FUNCTION for each task, until SIGTERM or Ctrl-C.

    A queue keeps the options, functions, lifespan and middleware that its module gave it. Modules are also found in the
    current folder. The first signal stops claims and lets running handlers end, the second stops the worker at once;
    the exit code is 0 either way, and 1 if a handler raised Stop. While MongoDB is unreachable, the worker waits. It
    logs to stderr; --json prints the number of endings of each kind when it stops.
    """
    if reload:
        raise typer.Exit(reloading(sys.argv[1:], Path.cwd()))
    if os.getpid() == 1:
        fork_as_init()
    early = EarlySignals()
    gc.freeze()  # imported modules stay until the end; collecting them would take 50 ms at exit
    found = early.watching(lambda: loaded(target, names(modules or "")))
    given: dict[str, Any] = {
        "max_retries": max_retries, "backoff": backoff, "deadline": deadline, "lease": lease, "grace": grace,
        "keep_completed": keep_completed, "keep_failed": keep_failed, "error_queue": error_queue or None,
    }  # fmt: skip
    options = {name: value for name, value in given.items() if value is not None}
    policy = {
        "failure_message": failure_message, "retry_on": None if retry_on is None else names(retry_on),
        "no_retry_on": None if no_retry_on is None else names(no_retry_on),
    }  # fmt: skip
    running = {
        "queues": None if queues is None else names(queues), "where": tags(where or []), "executor": executor,
        "workers": workers, "burst": burst, "prefetch": prefetch, "on_dependency_error": on_dependency_error,
        "max_tasks_per_child": max_tasks_per_child,
        "max_memory_per_child": max_memory_per_child and max_memory_per_child * 2**20,
        **{name: value for name, value in policy.items() if value is not None},
    }  # fmt: skip
    surroundings = Surroundings(target, metrics_port, health_port, checked_format(log_format), release)
    if isinstance(found, Queue | AsyncQueue):
        _refuse_options(target, place(context), options)
        queue, handler = found, None
    else:
        queue, handler = place(context).open(**options), found
    if isinstance(queue, AsyncQueue):
        figures = asyncio.run(_awaited(queue, surroundings, running))
    else:
        figures = _blocking(queue, handler, surroundings, running)
    if as_json:
        print_json(figures)


def _refuse_options(target: str, place: Place, options: Mapping[str, Any]) -> None:
    """A queue was made by its module: what belongs to it is set there."""
    given = [*options, *(name for name, value in (("uri", place.uri), ("namespace", place.named)) if value is not None)]
    if given:
        refuse(f"--{given[0].replace('_', '-')} belongs to the queue: set it where {target} is made")


def _blocking(queue: Queue, handler: Any, around: Surroundings, running: Mapping[str, Any]) -> dict[str, Any]:
    with queue:
        queue.time()  # an unreachable server ends the command here, and only here
        warn_of_standalone(queue)
        with around.opened(queue), counted(queue) as figures:
            _say(queue, around.target, running, "default" if handler is not None else "of its functions")
            if around.release is not None:
                queue.mark_release(around.release)
            queue.run(handler, **running)
        return figures


async def _awaited(queue: AsyncQueue, around: Surroundings, running: Mapping[str, Any]) -> dict[str, Any]:
    async with queue:
        await queue.time()
        with around.opened(queue), counted(queue) as figures:
            _say(queue, around.target, running, "of its functions")
            if around.release is not None:
                await queue.mark_release(around.release)
            await until_signalled(asyncio.ensure_future(queue.run(**running)))
        return figures


def _say(queue: Queue | AsyncQueue, target: str, running: Mapping[str, Any], default: str) -> None:
    queues = default if running["queues"] is None else ",".join(running["queues"])
    log.info("worker starts: %s, queues %s, %r", clean(target), queues, queue)
