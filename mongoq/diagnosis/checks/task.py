"""Checks of tasks that nobody moves: what a sweep should have done, and what waits for nothing that lives."""

from __future__ import annotations

from collections.abc import Iterator

from mongoq.core.lifecycle import TaskState
from mongoq.diagnosis.check import Found, check
from mongoq.diagnosis.facts import Overdue, Parked, Waiting
from mongoq.diagnosis.finding import Level
from mongoq.diagnosis.words import listed, mongosh, quoted, span, tasks, waiting


@check(
    "task.lost", Level.FAULT, "running tasks whose lease has been over for 30 s",
    effect="Their worker is gone, and nobody runs them again.",
    advice="Start a worker, of whatever queue: any worker of the namespace takes them back.",
    command="mongoq ls --state running",
)  # fmt: skip
def lost(overdue: Overdue) -> Iterator[Found]:
    """Tasks that were not rescued."""
    if overdue.lost:
        keys = listed(overdue.lost, 2)
        yield Found(overdue.lost[0], f"Leases are over for {span(overdue.lost_for)}, and not taken back: {keys}")


@check(
    "task.due", Level.FAULT, "scheduled tasks that have been due for 30 s, and were not made ready",
    effect="Delayed tasks and retries do not run.",
    advice="Start a worker, of whatever queue: any worker of the namespace makes them ready.",
    command="mongoq workers",
)  # fmt: skip
def due(overdue: Overdue) -> Iterator[Found]:
    """Tasks that were not promoted."""
    if overdue.due_for is not None:
        said = f"A scheduled task of {overdue.due_queue} has been due for {span(overdue.due_for)}"
        yield Found(overdue.due_queue, said)


@check(
    "task.unexpired", Level.WARNING, "waiting tasks whose expires_at passed 30 s ago, and that have not expired",
    effect="They do not run, but still count as waiting; their unique values stay taken.",
    advice="Start a worker, of whatever queue: any worker of the namespace expires them.",
    command="mongoq workers",
)  # fmt: skip
def unexpired(overdue: Overdue) -> Iterator[Found]:
    """Tasks that were not expired."""
    if overdue.expired_for is not None:
        yield Found("expires_at", f"A waiting task should have expired {span(overdue.expired_for)} ago")


@check(
    "task.unpurged", Level.WARNING, "finished tasks that should have been removed ten minutes ago",
    effect="The collection grows; the server's TTL monitor is off, or does not keep up.",
    advice="See server.ttl-monitor above; where it is on, give the server time or a faster disk.",
    command=mongosh("db.serverStatus().metrics.ttl"),
)  # fmt: skip
def unpurged(overdue: Overdue) -> Iterator[Found]:
    """Tasks that the TTL monitor left."""
    if overdue.unpurged:
        late = span(overdue.unpurged_for)
        yield Found("ttl", f"{tasks(overdue.unpurged)} or more should have been removed, the oldest {late} ago")


@check(
    "task.waits-for-failed", Level.WARNING, "parked tasks whose parent has failed",
    effect='They wait until the parent completes, as on_parent_failure="wait" says.',
    advice="Run the parent again once its cause is mended, or cancel what waits for it.",
)  # fmt: skip
def waits_for_failed(parked: Parked) -> Iterator[Found]:
    """Children of failed parents, each parent once."""
    children: dict[str, list[Waiting]] = {}
    for one in parked.failed_parent:
        children.setdefault(one.parent or "", []).append(one)
    for parent, held in children.items():
        problem = f"The parent {parent} {held[0].why}: {waiting(len(held), TaskState.PARKED)} for it"
        yield Found(parent, problem, f"mongoq rerun {quoted(parent)}")


@check(
    "task.stale", Level.FAULT, "parked tasks that wait for nothing that lives",
    effect="They never run by themselves.",
    advice="Start a worker, which looks for them; where one runs, see what the task waits for.",
)  # fmt: skip
def stale(parked: Parked) -> Iterator[Found]:
    """Parked tasks without a live cause."""
    for one in parked.stale:
        yield Found(one.key, f"The parked task {one.key} {one.why}", f"mongoq why {quoted(one.key)}")
