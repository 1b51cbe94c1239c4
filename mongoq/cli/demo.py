"""`mongoq demo`: producers, a fleet of worker processes and live statistics, without any code of the user.

The workers are ordinary processes, `mongoq worker mongoq.cli.demo:work`. The demo touches no other tasks: it has a
queue of its own, in a namespace of its own unless one is given.
"""

from __future__ import annotations

import functools
import os
import random
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from statistics import mean
from typing import Annotated, Any, Final

import typer

from mongoq import MongoqError, Queue, QueueStats, Task, TaskState
from mongoq.cli.fleet import PARENT, Fleet
from mongoq.cli.options import AsJson, Place, place
from mongoq.cli.output import Sheet, live, note, print_json, say, show, span
from mongoq.cli.stats import STATES, sheets
from mongoq.core.lifecycle import LIVE
from mongoq.embedded.server import open_embedded

QUEUE: Final = "demo"
PRIORITIES: Final = (0, 5, 9)
FIRST: Final = 300
"""Tasks enqueued at the start, so that priorities have an effect."""
RATE: Final = 80
"""Tasks per second after the start; one worker process handles about 90."""
HANDLERS: Final = 4
DRAIN_SECONDS: Final = 30
KEPT: Final = timedelta(minutes=5)
MOST_LISTED: Final = 20_000


def demo(
    context: typer.Context,
    seconds: Annotated[int, typer.Option(min=1, max=86_400, help="How long tasks are produced.")] = 15,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Show a queue at work: producers, a fleet of worker processes, and live statistics.

    It uses the MongoDB of --uri or MONGOQ_URI, else a private one in a temporary folder. The tasks have three
    priorities; some are delayed, some fail at first. The namespace is `demo-` and a random number, unless --namespace
    is given. The server deletes the tasks of the demo within minutes.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="mongoq-demo-", ignore_cleanup_errors=True))
        )
        where = place(context)
        uri = where.given or stack.enter_context(_embedded(folder / "mongodb"))
        own = Place(uri, where.named or f"demo-{secrets.token_hex(4)}")
        keep = KEPT + timedelta(seconds=seconds)
        queue = stack.enter_context(own.open(keep_completed=keep, keep_failed=keep, backoff=1))
        before = _row(queue)
        stack.callback(_cancel_rest, queue)
        fleet = stack.enter_context(Fleet(workers, own, folder, _command()))
        figures = _run(queue, fleet, seconds, before, quiet=as_json)
        waits = _waits(queue)
    if as_json:
        print_json({**figures, "priorities": waits})
    else:
        _show_end(figures, waits)
    if figures["unfinished"]:
        note(f"{figures['unfinished']} tasks were not finished in time")
        raise typer.Exit(1)


def work(task: Task) -> dict[str, Any]:
    """Handle a demo task: sleep, and fail in its first attempts if its tags say so."""
    parent = os.environ.get(PARENT)
    if parent:
        _leave_with(int(parent))
    time.sleep(task.tags["seconds"])
    task.raise_if_cancelled()
    if task.attempts <= task.tags["failures"]:
        raise ConnectionError(f"attempt {task.attempts} of this task fails, for the demo")
    return {"slept": task.tags["seconds"]}


@functools.cache
def _leave_with(parent: int) -> None:
    """Stop this worker when the demo that started it is gone, even after SIGKILL."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _command() -> list[str]:
    options = ["--queues", QUEUE, "--workers", str(HANDLERS), "--lease", "10s", "--grace", "5s"]
    return [sys.executable, "-m", "mongoq", "worker", "mongoq.cli.demo:work", *options]


def _cancel_rest(queue: Queue) -> None:
    """Cancel the unfinished tasks, which no worker would handle; the server deletes them within minutes."""
    with suppress(MongoqError):  # the error that ended the demo is reported instead
        for state in LIVE:
            for task in queue.tasks(queue=QUEUE, state=state, limit=None):
                queue.cancel(task.key)


@contextmanager
def _embedded(folder: Path) -> Iterator[str]:
    """Yield the URI of a private MongoDB, and remove its folder when it has stopped."""
    with open_embedded(folder) as server:
        yield server.uri
    deadline = time.monotonic() + 20
    while (folder / "server.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    shutil.rmtree(folder, ignore_errors=True)


def _produce(queue: Queue, count: int) -> None:
    """Enqueue tasks of each priority; one in ten is delayed, and one in ten fails at first."""
    chance = random.Random()  # noqa: S311 -- no secret
    tags = [
        {"seconds": round(chance.uniform(0.01, 0.08), 3), "failures": int(chance.random() < 0.1)} for _ in range(count)
    ]
    later = len(tags) // 10
    queue.new_many(tags[:later], queue=QUEUE, priority=chance.choice(PRIORITIES), delay=chance.uniform(1, 3))
    for place_, priority in enumerate(PRIORITIES):
        queue.new_many(tags[later + place_ :: len(PRIORITIES)], queue=QUEUE, priority=priority)


def _run(queue: Queue, fleet: Fleet, seconds: int, before: QueueStats, *, quiet: bool) -> dict[str, Any]:
    """Produce for `seconds`, then wait until all tasks are finished; show statistics meanwhile."""
    start, made, shown = time.monotonic(), 0, 0.0
    on_terminal = sys.stdout.isatty() and not quiet
    with ExitStack() as stack:
        draw = stack.enter_context(live()) if on_terminal else None
        while True:
            passed = time.monotonic() - start
            wanted = FIRST + int(RATE * min(passed, seconds))
            if wanted - made >= 8:
                _produce(queue, wanted - made)
                made = wanted
            fleet.check()
            row = _row(queue)
            left = row.ready + row.scheduled + row.running
            if draw is not None:
                draw(sheets(queue))
            elif not quiet and passed - shown >= 1:
                shown = passed
                say("  ".join(f"{getattr(row, state)} {state}" for state in STATES[:5]))
            if passed >= seconds and (not left or passed >= seconds + DRAIN_SECONDS):
                break
            time.sleep(0.2)
    completed = row.completed - before.completed
    return {
        "tasks": made,
        str(TaskState.COMPLETED): completed,
        "unfinished": made - completed,
        "processes": len(fleet.processes),
        "seconds": round(passed, 1),
        "tasks_per_second": round(completed / passed, 1),
    }


def _row(queue: Queue) -> QueueStats:
    return queue.stats().get(QUEUE, QueueStats(QUEUE))


def _waits(queue: Queue) -> dict[int, dict[str, Any]]:
    """Measure how long the tasks of each priority were ready before a worker claimed them."""
    waits: dict[int, list[float]] = {}
    for task in queue.tasks(queue=QUEUE, state=TaskState.COMPLETED, limit=MOST_LISTED):
        if task.started_at is not None:
            waits.setdefault(task.priority, []).append((task.started_at - task.run_at).total_seconds())
    return {
        priority: {"tasks": len(found), "mean_wait": round(mean(found), 3), "longest_wait": round(max(found), 3)}
        for priority, found in sorted(waits.items(), reverse=True)
    }


def _show_end(figures: dict[str, Any], waits: dict[int, dict[str, Any]]) -> None:
    rows = [
        (
            priority,
            row["tasks"],
            span(timedelta(seconds=row["mean_wait"])),
            span(timedelta(seconds=row["longest_wait"])),
        )
        for priority, row in waits.items()
    ]
    names = [name.replace("_", " ") for name in figures]
    columns = ("priority", "tasks", "mean wait", "longest wait")
    show(
        [
            Sheet("result", names, [list(figures.values())], empty="nothing"),
            Sheet("by priority", columns, rows, empty="no task was completed"),
        ]
    )
