"""Checks of the queues: tasks that nobody takes, that wait too long, or that fail."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Final

from mongoq.core.options import BESIDE
from mongoq.diagnosis.check import Found, check, first
from mongoq.diagnosis.facts import Failures, Fleet
from mongoq.diagnosis.finding import Level
from mongoq.diagnosis.words import listed, quoted, ready, span
from mongoq.pausing.pause import Pause

MANY_FAILURES: Final = 25
DEAD: Final = BESIDE("")
"""How the names of error queues end."""


@check(
    "queue.unserved", Level.FAULT, "ready tasks of a queue that no worker serves",
    effect="They wait until one does.",
    advice="Start a worker of this queue, or move its tasks.",
)  # fmt: skip
def unserved(fleet: Fleet) -> Iterator[Found]:
    """Queues without a worker; nobody needs to serve an error queue."""
    served = {queue for one in fleet.live for queue in one.queues}
    lonely = (
        (name, row.ready)
        for name, row in fleet.queues.items()
        if row.ready and not row.paused and name not in served and not name.endswith(DEAD)
    )

    def tell(one: tuple[str, int]) -> Found:
        name, count = one
        said = f"No worker serves {name}: {ready(fleet, count)}"
        return Found(name, said, f"mongoq worker --queues {quoted(name)} MODULE:QUEUE")

    return first(lonely, tell)


@check(
    "queue.unhandled", Level.FAULT, "ready tasks with a name that no worker of their queue knows",
    effect="They wait until a worker knows the name; they hold up no others.",
    advice="Deploy a worker with these functions, or add aliases= to what they are called now.",
)  # fmt: skip
def unhandled(fleet: Fleet) -> Iterator[Found]:
    """Names that nobody knows."""
    served = {queue for one in fleet.workers for queue in one.queues}
    left = (
        (name, row.unhandled)
        for name, row in fleet.queues.items()
        if row.unhandled and not row.paused and name in served
    )

    def tell(one: tuple[str, int]) -> Found:
        name, count = one
        known = fleet.unknown.get(name)
        names = f": {listed(known)}" if known else ""
        said = f"{ready(fleet, count)} of {name} that no worker takes{names}"
        return Found(name, said, f"mongoq ls --state ready --queue {quoted(name)}")

    return first(left, tell)


@check(
    "queue.lags", Level.WARNING, "a queue whose oldest ready task has been due for longer than a minute",
    effect="Its tasks start late.",
    advice="See whether it gets better; start more workers, or raise the priority of what is urgent.",
    command="mongoq stats",
)  # fmt: skip
def lags(fleet: Fleet) -> Iterator[Found]:
    """Queues that lag behind; those without a worker are told otherwise."""
    served = {queue for one in fleet.live for queue in one.queues}
    for name, row in fleet.queues.items():
        late = row.oldest_ready is not None and row.oldest_ready > fleet.lag
        if late and row.oldest_ready is not None and name in served and not row.paused and not row.unhandled:
            yield Found(name, f"{name} lags behind: its oldest task has been due for {span(row.oldest_ready)}")


@check(
    "queue.paused", Level.NOTE, "a pause",
    effect="Nothing of it is claimed; what runs goes on.",
    advice="Resume it when it may go on.",
)  # fmt: skip
def paused(fleet: Fleet) -> Iterator[Found]:
    """Pauses, with who wants them and why."""
    for pause in fleet.pauses:
        if pause.holds(fleet.at):
            what = str(pause)
            waiting = sum(row.ready for name, row in fleet.queues.items() if pause.covers(name))
            told = f": {ready(fleet, waiting)} wait{'s' if waiting == 1 else ''}" if waiting else ""
            yield Found(what, f"{what[:1].upper()}{what[1:]} is paused {_by(pause)}{told}", _resume(pause))


@check(
    "queue.dead", Level.NOTE, "tasks in an error queue",
    effect="They failed for good, and wait there for somebody to look.",
    advice="Mend the cause, and send them home.",
)  # fmt: skip
def dead(fleet: Fleet) -> Iterator[Found]:
    """Dead letters, by their error queue."""
    for name, row in fleet.queues.items():
        if row.ready and name.endswith(DEAD):
            least = "at least " if fleet.sampled else ""
            told = f"{least}{row.ready:,} dead letter{'' if row.ready == 1 else 's'} in {name}"
            yield Found(name, told, f"mongoq redrive {quoted(name)}")


@check(
    "queue.failures", Level.WARNING, "tasks that failed for good within the last hour",
    effect="They do not run again by themselves; they are kept for keep_failed, 30 days by default.",
    advice="Look at them by their error, mend the cause, and run them again.",
    command="mongoq failures --since 1h",
)  # fmt: skip
def failed(failures: Failures) -> Iterator[Found]:
    """Recent failures by their type; many are a fault."""
    if not failures.tasks:
        return
    kinds = Counter(task.last_error.type if task.last_error else "no error" for task in failures.tasks)
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(3))
    more = "+" if failures.more else ""
    count = len(failures.tasks)
    said = f"{count}{more} task{'s' if count > 1 else ''} failed within the last hour: {told}"
    yield Found("failures", said, level=Level.FAULT if count >= MANY_FAILURES else None)


def _by(pause: Pause) -> str:
    until = f" until {pause.until:%H:%M} UTC" if pause.until else ""
    return f"by {pause.by}{until}{f' ({pause.reason})' if pause.reason else ''}"


def _resume(pause: Pause) -> str:
    if pause.queue is not None:
        return f"mongoq resume {quoted(pause.queue)}"
    if pause.tag is not None:
        return f"mongoq resume --where {quoted(f'{pause.tag}={json.dumps(pause.value)}')}"
    return "mongoq resume --all" if pause.name is None else f"mongoq resume --name {quoted(pause.name)}"
