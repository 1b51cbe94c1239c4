"""`mongoq worker`: run a function of the user as the handler of some queues."""

from __future__ import annotations

import functools
import gc
import importlib
import logging
import operator
import os
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from mongoq import Queue
from mongoq.cli.init import fork_as_init
from mongoq.cli.options import AsJson, names, place, refuse, span_option, tags, warn_of_standalone
from mongoq.cli.output import clean, print_json
from mongoq.core.events import Signpost
from mongoq.core.validation import did_you_mean

log = logging.getLogger("mongoq.cli")
_T = TypeVar("_T")


def worker(
    context: typer.Context,
    *,
    function: Annotated[
        str, typer.Argument(metavar="MODULE:FUNCTION", show_default=False, help="The handler: function(task).")
    ],
    workers: Annotated[
        int | None, typer.Option(help="Handlers that run at once. Default: the CPU cores; 100 coroutines.")
    ] = None,
    executor: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="threads, asyncio or processes. Default: asyncio for coroutines, else threads."
        ),
    ] = None,
    queues: Annotated[str, typer.Option(metavar="NAME,NAME...", help="The queues to work on.")] = "default",
    where: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Only tasks with this tag; may be repeated.")
    ] = None,
    burst: Annotated[bool, typer.Option("--burst", help="Stop when no task is ready any more.")] = False,
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
        str | None, typer.Option(metavar="TEXT", help="What the log says first when a task has failed.")
    ] = None,
    grace: Annotated[timedelta | None, span_option("For running handlers at a stop. Default: 25s.")] = None,
    error_queue: Annotated[
        bool, typer.Option("--error-queue", help="Move tasks that fail to the queue NAME/err.")
    ] = False,
    on_dependency_error: Annotated[
        str,
        typer.Option(metavar="WHAT", help="If the change that a handler returned is refused: retry, ignore or stop."),
    ] = "retry",
    as_json: AsJson = False,
) -> None:
    """Run MODULE:FUNCTION for each task until SIGTERM or Ctrl-C.

    Modules are also found in the current folder. The first signal stops claiming and lets running handlers end, the
    second stops at once; the exit code is 0 either way, and 1 where a handler raised Stop. The worker waits for a
    MongoDB that is unreachable. It logs to stderr; --json prints the number of endings of each kind when it stops.
    """
    if os.getpid() == 1:
        fork_as_init()
    early = _EarlySignals()
    gc.freeze()  # imported modules stay until the end; collecting them would take 50 ms at exit
    handler = early.watching(lambda: loaded(function))
    given = {
        "max_retries": max_retries, "backoff": backoff, "deadline": deadline, "lease": lease, "grace": grace,
        "keep_completed": keep_completed, "keep_failed": keep_failed, "failure_message": failure_message,
        "retry_on": None if retry_on is None else names(retry_on),
        "no_retry_on": None if no_retry_on is None else names(no_retry_on),
    }  # fmt: skip
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    with place(context).open(workers=workers, error_queue=error_queue, **options) as queue:
        queue.time()  # an unreachable server ends the command here, and only here
        warn_of_standalone(queue)
        _log_to_stderr()
        log.info("worker starts: handler %s, queues %s, %r", clean(function), queues, queue)
        run = functools.partial(
            queue.run, handler, queues=names(queues), where=tags(where or []), executor=executor, burst=burst,
            prefetch=prefetch, on_dependency_error=on_dependency_error,
        )  # fmt: skip
        figures = _run(queue, run)
    if as_json:
        print_json(figures)


class _EarlySignals:
    """SIGTERM before the worker takes it over: the module that is being imported may catch what is raised for it."""

    def __init__(self) -> None:
        self._came = False
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._arrived)

    def watching(self, load: Callable[[], _T]) -> _T:
        """Do this; SystemExit where the signal has come meanwhile, whatever became of it."""
        try:
            return load()
        finally:
            if self._came:
                raise SystemExit(0)

    def _arrived(self, _number: int, _frame: object) -> None:
        self._came = True
        raise SystemExit(0)


def loaded(target: str) -> Callable[..., Any]:
    """Import the function MODULE:FUNCTION; raises BadParameter when there is none."""
    module_name, colon, path = target.partition(":")
    if not colon or not module_name or not path:
        refuse(f"{target!r} is not MODULE:FUNCTION, such as app.tasks:send")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    module = _imported(module_name)
    try:
        found = operator.attrgetter(path)(module)
    except AttributeError:
        refuse(f"the module {module_name} has no {path!r}{did_you_mean(path, dir(module))}")
    if not callable(found):
        refuse(f"{target} is no function of a task: its type is {type(found).__name__}")
    handler: Callable[..., Any] = found
    return handler


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 -- a module may raise anything at its import, SystemExit included
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            refuse(f"no module {error.name!r} is found in {Path.cwd()}, nor on Python's path")
        last = traceback.extract_tb(error.__traceback__)[-1]
        # The last frame of a syntax error belongs to the import system; the error itself names its place.
        where = "" if last.filename.startswith("<frozen") else f" ({last.filename}, line {last.lineno})"
        refuse(f"the module {name} cannot be imported: {type(error).__name__}: {error}{where}")


def _run(queue: Queue, run: Callable[[], None]) -> dict[str, Any]:
    endings: Counter[str] = Counter()
    counting = threading.Lock()

    def count(name: str, event: Mapping[str, Any]) -> None:
        if name == Signpost.ENDED:
            with counting:
                endings[str(event["verdict"].event)] += 1

    queue.telemetry.subscribe(count)
    start = time.monotonic()
    run()
    log.info(
        "worker stopped: %s", ", ".join(f"{number} x {name}" for name, number in sorted(endings.items())) or "no tasks"
    )
    return {"seconds": round(time.monotonic() - start, 3), "endings": dict(endings)}


class _Lines(logging.Formatter):
    """Escapes control characters in log lines: keys and messages come from tasks."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 -- named by logging
        """Format the record in one line."""
        record.message = clean(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 -- as above
        """Format the traceback, keeping its lines."""
        return clean(super().formatException(ei), lines=True)


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("pymongo").setLevel(logging.WARNING)  # at DEBUG it logs payloads
