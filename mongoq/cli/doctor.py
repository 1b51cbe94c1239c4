"""The command that looks for what keeps tasks from running: `doctor`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import typer

from mongoq import Queue, QueueStats, Schedule, TaskState, WorkerInfo
from mongoq.cli.options import AsJson, place
from mongoq.cli.output import Sheet, print_json, show, span
from mongoq.core.fleet import SILENT

SAMPLE: Final = 1_000
"""So many ready tasks of a queue are read for the names that nobody knows."""
MOST_SKEW: Final = timedelta(seconds=1)
SHOWN: Final = 10
"""So many names are shown of one queue."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that keeps tasks from running, or may."""

    about: str
    problem: str
    advice: str
    wanted: bool = False
    """Whether somebody wants it so: a pause is told, and is no fault."""


def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Look for what keeps tasks from running: unknown names, queues without a worker, late schedules, silent workers.

    The exit code is 1 where something is to be mended: a pause is told, and is wanted. --json prints a list of
    {"about", "problem", "advice", "wanted"}.
    """
    with place(context).open(reading=True) as queue:
        found = list(_findings(queue))
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        rows = [(one.about, one.problem, one.advice) for one in found]
        show([Sheet("findings", ("about", "problem", "advice"), rows, empty="nothing was found")])
    if not all(one.wanted for one in found):
        raise typer.Exit(1)


def _findings(queue: Queue) -> Iterator[Finding]:
    yield from _of_the_server(queue)
    now, workers = queue.time(), queue.workers()
    for one in workers:
        if one.silent(now) > SILENT:
            advice = "see whether it lives; its tasks run elsewhere when their leases are over"
            yield Finding(one.id, f"a worker without a heartbeat for {span(one.silent(now))}", advice)
    yield from of_schedules(queue.schedules(), now)
    for row in queue.stats().values():
        if row.ready:
            yield from _of_a_queue(queue, row, [one for one in workers if row.queue in one.queues])


def of_schedules(schedules: Iterable[Schedule], now: datetime) -> Iterator[Finding]:
    """Schedules that are late, or whose last tick could not be enqueued."""
    for one in schedules:
        late = one.late(now)
        if late is not None:
            advice = "start a worker, of whatever queue: any worker of the namespace enqueues what schedules say"
            yield Finding(f"the schedule {one.name}", f"its tick has been due for {span(late)}", advice)
        elif one.reason and not one.paused:
            advice = "mend its task, and define it anew"
            yield Finding(f"the schedule {one.name}", f"its last tick could not be enqueued: {one.reason}", advice)


def _of_the_server(queue: Queue) -> Iterator[Finding]:
    if queue.standalone():
        advice = "make it a replica set; one node is enough"
        yield Finding("the server", "a standalone server: it may lose what it acknowledged", advice)
    skew = abs(datetime.now(UTC) - queue.time())
    if skew > MOST_SKEW:
        advice = "run NTP on this host; tasks go by the server's clock"
        yield Finding("this host", f"its clock is {span(skew)} away from the server's", advice)


def _of_a_queue(queue: Queue, row: QueueStats, workers: Sequence[WorkerInfo]) -> Iterator[Finding]:
    if row.paused:
        problem = f"{row.ready:,} ready tasks wait: it is paused"
        yield Finding(row.queue, problem, "mongoq resume, when it may go on", wanted=True)
    elif not workers:
        advice = "start a worker of this queue, or move its tasks"
        yield Finding(row.queue, f"{row.ready:,} ready tasks, and no worker of this queue", advice)
    elif row.unhandled:
        advice = "deploy a worker with these functions, or add aliases= to what they are called now"
        names = ", ".join(_unknown(queue, row.queue, workers)) or "unknown names"
        yield Finding(row.queue, f"{row.unhandled:,} ready tasks that no worker takes: {names}", advice)


def _unknown(queue: Queue, name: str, workers: Sequence[WorkerInfo]) -> list[str]:
    """The names, of a sample of ready tasks, that no worker knows; the most frequent first."""
    known = {name for one in workers for name in one.names}
    sample = queue.scan(queue=name, state=TaskState.READY, payload=False, limit=SAMPLE)
    counts = Counter(task.name or "(no name)" for task in sample if task.name not in known)
    return [name for name, _ in counts.most_common(SHOWN)]
