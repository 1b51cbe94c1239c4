"""What `top` reads from the queue for one screen, and does to it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mongoq import Pause, Queue, QueueStats, Task, TaskState, WorkerInfo
from mongoq.cli.acting.auditing import audited, operator
from mongoq.cli.looking.paging import pages
from mongoq.cli.output import brief, clean
from mongoq.cli.watching.state import Row, View
from mongoq.core.explaining.grouping import grouped

MOST_FAILED: Final = 600
"""So many failed tasks, the newest, are grouped."""
MOST_RUNNING: Final = 300


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was read at one moment."""

    at: datetime
    queues: dict[str, QueueStats]
    workers: list[WorkerInfo]
    pauses: list[Pause]
    tasks: list[Task]
    """The tasks of the view: failed, or running ones."""


def read(queue: Queue, view: View) -> Snapshot:
    """Read what a view shows."""
    tasks: list[Task] = []
    if view is View.FAILURES:
        tasks = list(pages(queue, {"state": TaskState.FAILED}, MOST_FAILED))
    elif view is View.TASKS:
        tasks = list(itertools.islice(pages(queue, {"state": TaskState.RUNNING}), MOST_RUNNING))
    return Snapshot(queue.time(), queue.stats(), queue.workers(), queue.pauses(), tasks)


def columns(view: View) -> tuple[str, ...]:
    """The names of the columns of a view."""
    if view is View.QUEUES:
        states = (TaskState.READY, TaskState.RUNNING, TaskState.SCHEDULED, TaskState.FAILED)
        return ("queue", *states, "oldest", "paused")
    if view is View.FAILURES:
        return ("count", "name", "error", "last")
    return ("key", "name", "since", "worker", "progress")


def rows(view: View, now: Snapshot) -> list[Row]:
    """The rows of a view, those that matter most first."""
    if view is View.QUEUES:
        return [_of_queue(one, now) for one in sorted(now.queues.values(), key=lambda row: (-row.ready, row.queue))]
    if view is View.FAILURES:
        return [
            Row(
                (group.count, ",".join(sorted(group.names)), f"{group.kind}: {_line(group.message)}",
                 brief(now.at - group.last)),
                f"{group.newest.name} {group.kind} {group.message}",
                f"{group.newest.name} {group.newest.queue} {group.kind} {group.alike}",
                queue=None if group.newest.name else group.newest.queue,
                name=group.newest.name,
                error=group.kind if group.newest.last_error else None,
            )
            for group in grouped(now.tasks, by_name=True)
        ]  # fmt: skip
    return [_of_task(task, now.at) for task in sorted(now.tasks, key=lambda task: task.started_at or now.at)]


def toggle(queue: Queue, row: Row, now: Snapshot) -> str:
    """Pause what a row is about, or resume it; say which."""
    about = {"queue": row.queue} if row.queue is not None else {"name": row.name}
    wanted = (about.get("queue"), about.get("name"))
    if any((pause.queue, pause.name) == wanted for pause in now.pauses):
        with audited(queue, "resume", about):
            queue.resume(**about)
        return "resumed"
    with audited(queue, "pause", about):
        queue.pause(**about, reason="by mongoq top", by=operator())
    return "paused"


def retry(queue: Queue, row: Row) -> str:
    """Run the failed tasks that a row is about again; say how many."""
    about = {"queue": row.queue, "name": row.name, "error": row.error}
    with audited(queue, "retry_all", about) as tell:
        count = queue.rerun_all(queue=row.queue, name=row.name, error=row.error)
        tell(count)
    return f"{count:,} task{'s' if count != 1 else ''} set going again"


def _of_queue(one: QueueStats, now: Snapshot) -> Row:
    held = [pause for pause in now.pauses if pause.covers(one.queue)]
    paused = f"by {held[0].by}" if held else "-"
    oldest = brief(one.oldest_ready) if one.oldest_ready is not None else "-"
    cells = (one.queue, one.ready, one.running, one.scheduled, one.failed, oldest, paused)
    return Row(cells, one.queue, one.queue, queue=one.queue)


def _of_task(task: Task, now: datetime) -> Row:
    since = brief(now - task.started_at) if task.started_at else "-"
    said = "asked to stop" if task.cancel_requested else "-"
    if task.progress and not task.cancel_requested:
        share = "" if task.progress.value is None else f"{task.progress.value:.0%} "
        said = f"{share}{task.progress.message or ''}".strip()
    cells = (task.key, task.name or task.queue, since, (task.worker or "-").rpartition(":")[0] or "-", said)
    where = {"queue": None, "name": task.name} if task.name else {"queue": task.queue, "name": None}
    return Row(cells, f"{task.key} {task.name} {task.queue} {task.worker}", task.key, **where)


def _line(message: str) -> str:
    return clean(message.strip().partition("\n")[0])
