"""The fleet as metrics, in the text format of Prometheus, made of the snapshot that the pages show.

A server reads the fleet every few seconds at most, however many scrape it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from operator import attrgetter
from typing import Any, Final

from mongoq import LimitStats, QueueStats, TaskState
from mongoq.dashboard.service.snapshot import Snapshot

MOST: Final = 1_000
"""Queues that are told apart, the fullest; the others are summed as `other`."""
OTHER: Final = "other"
TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
STATES: Final = tuple(state.value for state in TaskState if hasattr(QueueStats(""), state.value))

Samples = Iterable[tuple[str, float]]
"""The labels as they are written, and the value."""
Family = tuple[str, str, Samples]
"""The name of a metric, what it is, and its samples."""


def exposition(now: Snapshot) -> str:
    """All metrics of the fleet."""
    rows = [(_labels(queue=row.queue), row) for row in _rows(now)]
    late = [(one.name, one.next_at) for one in now.schedules if one.next_at is not None and not one.paused]
    served = Counter(queue for worker in now.workers for queue in set(worker.queues))
    silent = sum(worker.is_silent(now.at) for worker in now.workers)
    families: list[Family] = [
        ("mongoq_queue_tasks", "Tasks of a queue in a state.", _by_state(rows)),
        ("mongoq_queue_oldest_ready_seconds", "For how long the oldest ready task has been due; 0: there is none.",
         [(queue, row.oldest_ready.total_seconds() if row.oldest_ready else 0) for queue, row in rows]),
        ("mongoq_queue_unhandled", "Ready tasks that no live worker takes.",
         [(queue, row.unhandled) for queue, row in rows]),
        ("mongoq_queue_paused", "Whether nothing of a queue is claimed.", [(queue, row.paused) for queue, row in rows]),
        ("mongoq_queue_workers", "Worker processes of a queue.",
         [(queue, served[row.queue]) for queue, row in rows]),
        ("mongoq_workers", "Worker processes.", [("", len(now.workers))]),
        ("mongoq_workers_silent", "Worker processes without a heartbeat for 25 s.", [("", silent)]),
        ("mongoq_worker_slots", "Handlers that may run at once, in all processes.", [("", now.slots)]),
        ("mongoq_worker_held", "Tasks that the processes hold.", [("", now.busy)]),
        ("mongoq_schedule_late_seconds", "For how long the next tick of a schedule has been due.",
         [(_labels(schedule=name), max(0.0, (now.at - at).total_seconds())) for name, at in late]),
        *_of_limits(now.limits.values()),
        ("mongoq_clock_offset_seconds", "By how much the dashboard's clock is ahead of MongoDB's.", [("", now.skew)]),
        ("mongoq_snapshot_seconds", "How long it took to read these figures.", [("", now.took)]),
    ]  # fmt: skip
    return "".join(_family(*family) for family in families)


def _of_limits(rows: Iterable[LimitStats]) -> list[Family]:
    """The metrics of limits, by their names: values of tags are no labels, since they come from whoever enqueues."""
    every = [(_labels(limit=row.limit), row) for row in rows]
    sides = [(TaskState.RUNNING.value, "groups_running"), ("waiting", "groups_waiting")]
    return [
        ("mongoq_limit_concurrency", "Tasks of each group of a limit that may run at once.",
         [(labels, row.concurrency) for labels, row in every if row.concurrency is not None]),
        ("mongoq_limit_rate", "Tasks of each group of a limit that may start in a second.",
         [(labels, row.rate) for labels, row in every if row.rate is not None]),
        ("mongoq_limit_running", "Slots of a limit in use, of all its groups.",
         [(labels, row.running) for labels, row in every]),
        ("mongoq_limit_waiting", "Tasks that wait for room in a limit.",
         [(labels, row.waiting) for labels, row in every]),
        ("mongoq_limit_groups", "Groups of a limit in which tasks run, or wait.",
         [(f'{labels},tasks="{side}"', getattr(row, name)) for labels, row in every for side, name in sides]),
        ("mongoq_limit_use_ratio", "The share of its slots that the fullest group of a limit has in use.",
         [(labels, row.use) for labels, row in every if row.use is not None]),
    ]  # fmt: skip


def _rows(now: Snapshot) -> list[QueueStats]:
    """The fullest queues by name, and the sums of the others: of 10,000 queues in 10 ms."""
    name = attrgetter("queue")
    if len(now.stats) <= MOST:
        return sorted(now.stats.values(), key=name)
    rows = sorted(now.stats.values(), key=lambda row: (-row.size, row.queue))
    told, rest = rows[:MOST], rows[MOST:]
    sums: dict[str, Any] = {field: sum(map(attrgetter(field), rest)) for field in (*STATES, "unhandled")}
    oldest = max((row.oldest_ready for row in rest if row.oldest_ready), default=None)
    return [*sorted(told, key=name), QueueStats(OTHER, **sums, oldest_ready=oldest)]


def _by_state(rows: Iterable[tuple[str, QueueStats]]) -> Samples:
    told = [(f',state="{state}"', attrgetter(state)) for state in STATES]
    return [(queue + label, count(row)) for queue, row in rows for label, count in told]


def _family(name: str, about: str, samples: Samples) -> str:
    lines = [f"# HELP {name} {about}", f"# TYPE {name} gauge"]
    lines += [
        f"{name}{{{labels}}} {float(value)!r}" if labels else f"{name} {float(value)!r}" for labels, value in samples
    ]
    return "\n".join(lines) + "\n"


def _labels(**labels: str) -> str:
    return ",".join([f'{label}="{_escaped(text)}"' for label, text in labels.items()])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
