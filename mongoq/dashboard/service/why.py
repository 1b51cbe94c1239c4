"""Why a task does not run, in a sentence, from what is known of it, its queue and the workers."""

from __future__ import annotations

from collections.abc import Sequence

from mongoq import Pause, Task, TaskState, WorkerInfo


def why(task: Task, workers: Sequence[WorkerInfo], pauses: Sequence[Pause]) -> str | None:
    """What a waiting task waits for, the first cause first; None where it does not wait."""
    if task.state is TaskState.SCHEDULED:
        return f"It is scheduled: it becomes ready at {task.run_at:%Y-%m-%d %H:%M:%S} UTC."
    if task.state is TaskState.PARKED:
        parents = f" ({', '.join(task.parents[:3])})" if task.parents else ""
        return f"It is parked: it waits for the end of its parents{parents}, or for something else than time."
    if task.state is not TaskState.READY:
        return None
    return _paused(task, pauses) or _unserved(task, workers) or _crowded(task, workers)


def _paused(task: Task, pauses: Sequence[Pause]) -> str | None:
    plain = (task.name or "").partition("@")[0]
    for pause in pauses:
        if pause.covers(task.queue) or (pause.name is not None and pause.name in (plain, task.name)):
            until = f" until {pause.until:%Y-%m-%d %H:%M:%S} UTC" if pause.until else ""
            return f"Paused: {pause} is paused by {pause.by}{until}{f' ({pause.reason})' if pause.reason else ''}."
    return None


def _unserved(task: Task, workers: Sequence[WorkerInfo]) -> str | None:
    serving = [one for one in workers if task.queue in one.queues]
    if not serving:
        return f"No worker serves the queue {task.queue!r}."
    plain = (task.name or "").partition("@")[0]
    if not any(not one.names or task.name in one.names or plain in one.names for one in serving):
        what = f"the name {task.name!r}" if task.name else "tasks without a name"
        return f"Unhandled: no worker of the queue {task.queue!r} takes {what}."
    return None


def _crowded(task: Task, workers: Sequence[WorkerInfo]) -> str:
    serving = [one for one in workers if task.queue in one.queues]
    slots, busy = sum(one.workers for one in serving), sum(one.running for one in serving)
    if busy >= slots:
        return f"All {slots} slots of the {len(serving)} workers of its queue are taken; it waits for its turn."
    return "It is ready: a worker takes it next."
