"""How a task stands, and why it does not run, in a sentence, from what is known of it, its queue and the workers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from mongoq.core.lifecycle import TaskState
from mongoq.core.stats import WorkerInfo
from mongoq.core.tasks.task import Task
from mongoq.limiting.limit import limit_of, value_of
from mongoq.pausing.pause import Pause

NAMED: Final = 3
"""Parents that are named."""


def standing(task: Task, workers: Sequence[WorkerInfo], pauses: Sequence[Pause]) -> str:
    """How a task stands in any state; for one that waits, what `why` says."""
    if (waits := why(task, workers, pauses)) is not None:
        return waits
    if task.state is TaskState.RUNNING:
        return _running(task, workers)
    ended = f" {_ago(task, task.finished_at)}" if task.finished_at else ""
    reason = f" ({task.failure.replace('_', ' ')})" if task.failure else ""
    return f"It has ended: it is {task.state}{reason} since{ended or ' some time'}{_told(task)}."


def why(task: Task, workers: Sequence[WorkerInfo], pauses: Sequence[Pause]) -> str | None:
    """What a waiting task waits for, the first cause first; None where it does not wait."""
    if task.state is TaskState.SCHEDULED:
        return f"It is scheduled: it becomes ready at {_time(task.run_at)}{_told(task)}."
    if task.state is TaskState.PARKED and (paused := _held(task, pauses)) is not None:
        return paused
    if task.state is TaskState.PARKED and (limit := limit_without_room(task)) is not None:
        group = "" if limit[1] is None else f" for {limit[1]!r}"
        return f"It is parked: the limit {limit[0]} has no room{group}."
    if task.state is TaskState.PARKED:
        if not task.parents:
            return "It is parked: it is the callback of a batch, which waits for its members to end or to be closed."
        more = ", ..." if len(task.parents) > NAMED else ""
        return f"It is parked: it waits for the end of its parents ({', '.join(task.parents[:NAMED])}{more})."
    if task.state is not TaskState.READY:
        return None
    return _paused(task, pauses) or _unserved(task, workers) or _crowded(task, workers)


def limit_without_room(task: Task) -> tuple[str, str | None] | None:
    """The limit that a task waits for, and the value of its tag; None: it waits for none."""
    if task.waits_for is None or task.waits_for.startswith("!"):  # a pause
        return None
    return limit_of(task.waits_for), value_of(task.waits_for)


def _running(task: Task, workers: Sequence[WorkerInfo]) -> str:
    """Who holds it since when, and what is odd about that."""
    said = f"It runs on {task.worker or 'an unknown worker'}"
    said += f" since {_ago(task, task.started_at)}, attempt {task.attempts}" if task.started_at else ""
    holder = next((one for one in workers if one.id == task.worker), None)
    if task.lease_until is not None and task.lease_until < task.read_at:
        said += "; its lease is over, so it is rescued within seconds where a worker lives"
    elif holder is None:
        said += "; that worker sends no heartbeat: it runs again elsewhere when the lease is over"
        said += f", at {_time(task.lease_until)}" if task.lease_until else ""
    elif holder.is_silent(task.read_at):
        said += f"; that worker is silent since {_span(holder.silent(task.read_at))}"
    elif holder.ahead:
        said += f"; that worker has claimed {holder.ahead} tasks ahead of its handlers: this may be one of them"
    return said + ("; it was asked to stop." if task.cancel_requested else ".")


def _told(task: Task) -> str:
    error = task.last_error
    if error is None or task.state is TaskState.COMPLETED:
        return ""
    message = error.message.strip().partition("\n")[0][:200]
    return f"; attempt {error.attempt} ended with {error.type}{f': {message}' if message else ''}"


def _paused(task: Task, pauses: Sequence[Pause]) -> str | None:
    plain = (task.name or "").partition("@")[0]
    for pause in pauses:
        if pause.covers(task.queue) or (pause.name is not None and pause.name in (plain, task.name)):
            return _told_of(pause)
    return None


def _held(task: Task, pauses: Sequence[Pause]) -> str | None:
    """Which pause of a name or a value a task is parked for; one that has ended lets it go by the next sweep."""
    if task.waits_for is None or not task.waits_for.startswith("!"):
        return None
    pause = next((one for one in pauses if one.target.group == task.waits_for), None)
    return "Its pause has ended: the next sweep makes it ready." if pause is None else _told_of(pause)


def _told_of(pause: Pause) -> str:
    until = f" until {_time(pause.until)}" if pause.until else ""
    return f"Paused: {pause} is paused by {pause.by}{until}{f' ({pause.reason})' if pause.reason else ''}."


def _unserved(task: Task, workers: Sequence[WorkerInfo]) -> str | None:
    serving = [one for one in workers if task.queue in one.queues and not one.is_silent(task.read_at)]
    if not serving:
        return f"No worker serves the queue {task.queue!r}."
    if not any(one.takes(task.queue, task.name) for one in serving):
        what = f"the name {task.name!r}" if task.name else "tasks without a name"
        return f"Unhandled: no worker of the queue {task.queue!r} takes {what}."
    return None


def _crowded(task: Task, workers: Sequence[WorkerInfo]) -> str:
    serving = [one for one in workers if task.queue in one.queues]
    slots, busy = sum(one.workers for one in serving), sum(one.running for one in serving)
    if busy >= slots:
        return f"All {slots} slots of the {len(serving)} workers of its queue are taken; it waits for its turn."
    return "It is ready: a worker takes it next."


def _ago(task: Task, instant: datetime | None) -> str:
    return "an unknown time" if instant is None else _span(task.read_at - instant)


def _span(duration: timedelta) -> str:
    seconds = max(0, int(duration.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _time(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"
