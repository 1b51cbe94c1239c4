"""The fleet as metrics, in the text format of Prometheus, made of the snapshot that the pages show.

A server reads the fleet every few seconds at most, however many scrape it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from mongoq import LimitStats, QueueStats, TaskState
from mongoq.dashboard.service.snapshot import Snapshot

MOST: Final = 1_000
"""Queues that are told apart, the fullest; the others are summed as `other`."""
OTHER: Final = "other"
TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
STATES: Final = tuple(state for state in TaskState if hasattr(QueueStats(""), state.value))

Samples = Iterable[tuple[Mapping[str, str], float]]
Family = tuple[str, str, Samples]
"""The name of a metric, what it is, and its samples."""


def exposition(now: Snapshot) -> str:
    """All metrics of the fleet."""
    rows = _rows(now)
    late = [(one.name, one.next_at) for one in now.schedules if one.next_at is not None and not one.paused]
    served = Counter(queue for worker in now.workers for queue in set(worker.queues))
    silent = sum(worker.is_silent(now.at) for worker in now.workers)
    families: list[Family] = [
        ("mongoq_queue_tasks", "Tasks of a queue in a state.", _by_state(rows)),
        ("mongoq_queue_oldest_ready_seconds", "For how long the oldest ready task has been due; 0: there is none.",
         [(_of(row), row.oldest_ready.total_seconds() if row.oldest_ready else 0) for row in rows]),
        ("mongoq_queue_unhandled", "Ready tasks that no live worker takes.", [(_of(r), r.unhandled) for r in rows]),
        ("mongoq_queue_paused", "Whether nothing of a queue is claimed.", [(_of(row), row.paused) for row in rows]),
        ("mongoq_queue_workers", "Worker processes of a queue.",
         [(_of(row), served[row.queue]) for row in rows]),
        ("mongoq_workers", "Worker processes.", [({}, len(now.workers))]),
        ("mongoq_workers_silent", "Worker processes without a heartbeat for 25 s.", [({}, silent)]),
        ("mongoq_worker_slots", "Handlers that may run at once, in all processes.", [({}, now.slots)]),
        ("mongoq_worker_held", "Tasks that the processes hold.", [({}, now.busy)]),
        ("mongoq_schedule_late_seconds", "For how long the next tick of a schedule has been due.",
         [({"schedule": name}, max(0.0, (now.at - at).total_seconds())) for name, at in late]),
        *_of_limits(now.limits.values()),
        ("mongoq_clock_offset_seconds", "By how much the dashboard's clock is ahead of MongoDB's.", [({}, now.skew)]),
        ("mongoq_snapshot_seconds", "How long it took to read these figures.", [({}, now.took)]),
    ]  # fmt: skip
    return "".join(_family(*family) for family in families)


def _of_limits(rows: Iterable[LimitStats]) -> list[Family]:
    """The metrics of limits, by their names: values of tags are no labels, since they come from whoever enqueues."""
    every = [({"limit": row.limit}, row) for row in rows]
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
         [({**labels, "tasks": side}, getattr(row, name)) for labels, row in every for side, name in sides]),
        ("mongoq_limit_use_ratio", "The share of its slots that the fullest group of a limit has in use.",
         [(labels, row.use) for labels, row in every if row.use is not None]),
    ]  # fmt: skip


def _rows(now: Snapshot) -> list[QueueStats]:
    rows = sorted(now.stats.values(), key=lambda row: (-row.size, row.queue))
    if len(rows) <= MOST:
        return sorted(rows, key=lambda row: row.queue)
    rest = rows[MOST:]
    ages = [row.oldest_ready for row in rest if row.oldest_ready]
    sums = {state.value: sum(getattr(row, state.value) for row in rest) for state in STATES}
    unhandled = sum(row.unhandled for row in rest)
    return [*rows[:MOST], QueueStats(OTHER, **sums, oldest_ready=max(ages, default=None), unhandled=unhandled)]


def _by_state(rows: Iterable[QueueStats]) -> Samples:
    return [({"queue": row.queue, "state": state.value}, getattr(row, state.value)) for row in rows for state in STATES]


def _of(row: QueueStats) -> Mapping[str, str]:
    return {"queue": row.queue}


def _family(name: str, about: str, samples: Samples) -> str:
    lines = [f"# HELP {name} {about}", f"# TYPE {name} gauge"]
    for labels, value in samples:
        told = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        lines.append(f"{name}{{{told}}} {float(value)!r}" if told else f"{name} {float(value)!r}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
