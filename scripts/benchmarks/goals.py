"""The rows of docs/performance.md: what each measures, beside what, and the ratio that is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.cost import UNITS


@dataclass(frozen=True, slots=True)
class Goal:
    """One row."""

    row: str
    what: str
    beside: str
    least: float | None = None
    """The ratio is to be no less than this; or"""
    most: float | None = None
    """no more than this."""

    @property
    def told(self) -> str:
        """The target as the page has it."""
        return f"≥ {self.least:g}" if self.least is not None else f"≤ {self.most:g}" if self.most is not None else ""

    def missed(self, ratio: float | None) -> bool:
        """Whether a ratio is short of the target."""
        if ratio is None:
            return False
        return (self.least is not None and ratio < self.least) or (self.most is not None and ratio > self.most)


def _costs(how: str) -> Sequence[Goal]:
    words = {
        "commands": "commands for 1,000 tasks",
        "wire": "bytes on the wire for a task",
        "oplog": "bytes of oplog for a task",
        "client": "CPU of the worker for a task",
        "server": "CPU of mongod for a task",
    }
    return [Goal(f"cost.{how}.{field}", words[field], "the raw loop", most=1.3) for field in UNITS]


RAW: Final = "the raw pipelined loop, batches of 1,000"
NEW: Final = "`new` in one thread"
BARE: Final = "the bare driver: change stream, `find_one_and_update`"
GOALS: Final = (
    Goal("drain.delete", "no-op tasks through one process, deleted on completion", RAW, least=0.8),
    Goal("drain.keep", "the same, completed tasks kept", RAW, least=0.8),
    Goal("drain.default", "`mongoq worker` as installed", "with its best settings", least=0.95),
    Goal("contention.2", "two processes on one queue", "two raw loops together", least=0.85),
    Goal("contention.4", "four", "four raw loops together", least=0.8),
    Goal("contention.8", "eight", "eight raw loops together", least=0.75),
    Goal("enqueue.one", "`new`, one after the other", "`insert_one`", least=0.95),
    Goal("enqueue.many", "`new_many`", "`insert_many`", least=0.85),
    Goal("enqueue.submit", "`submit`, futures of one thread", NEW, least=20),
    Goal("async.gather", "`new` of 100 coroutines on one AsyncQueue", NEW, least=15),
    Goal("enqueue.buffer", "64 threads through one buffer", NEW, least=10),
    Goal("latency.p50", "call of `new` to start of the handler, median", BARE, most=1.12),
    Goal("latency.p99", "the 99th percentile", BARE, most=1.5),
    Goal("latency.8.p50", "median with seven more idle workers", BARE, most=1.3),
    Goal("executors.processes", "2 children, 20 ms of pure Python a task", "two bare processes", least=0.93),
    *_costs("delete"),
    *_costs("keep"),
    Goal("cost.single.commands", "commands for 1,000 tasks that come one by one, with their `new`", ""),
    Goal("cost.single.oplog", "bytes of oplog for one of them", ""),
    Goal("cost.single.client", "CPU of the worker for one of them", ""),
    Goal("cost.single.server", "CPU of mongod for one of them", ""),
    Goal("fleet.8", "8 busy processes on one queue", "8 with a queue each", least=0.95),
    Goal("fleet.32", "32", "32 with a queue each", least=0.95),
    Goal("fleet.64", "64", "64 with a queue each", least=0.95),
    Goal("fleet.64.two", "64", "two processes"),
    Goal("fleet.idle.64.commands", "64 idle processes: commands of the median one", "0.3/s", most=1),
    Goal("fleet.idle.64.cpu", "CPU of mongod for each", "0.05 %", most=1),
    Goal("fleet.idle.64.insert", "CPU of mongod for a task inserted in bulk meanwhile", "with none idle", most=1.5),
    Goal("fleet.idle.256.commands", "256 idle processes: commands of the median one", "0.3/s", most=1),
    Goal("fleet.idle.256.all", "of the mean, with the one that watches", "0.3/s"),
    Goal("fleet.idle.256.cpu", "CPU of mongod for each", "0.05 %", most=1),
    Goal("fleet.idle.256.insert", "CPU of mongod for a task inserted in bulk meanwhile", "with none idle", most=1.5),
    Goal("fleet.one.claims", "one task into 64 idle processes: claims tried", "3", most=1),
    Goal("fleet.one.p50", "its start, median", "of one idle worker", most=1.3),
    Goal("fleet.one.burst", "640 tasks into 64 idle processes: until all work", "300 ms", most=1),
    Goal("queues.1000", "one worker of 1,000 queues, 5 of which have work", "of one queue", least=0.8),
    Goal("queues.10000", "of 10,000 queues, 5 of which have work", "of one queue", least=0.8),
    Goal("queues.all", "of 1,000 queues, all of which have work", "of one queue"),
    Goal("payload.1", "1 KB of tags: enqueued, run, deleted", "raw insert, find, delete", least=0.7),
    Goal("payload.10", "10 KB", "the same", least=0.7),
    Goal("payload.100", "100 KB", "the same", least=0.7),
    Goal("payload.1.result", "1 KB of result, kept", "raw insert, find, bulk update", least=0.7),
    Goal("payload.10.result", "10 KB", "the same", least=0.7),
    Goal("payload.100.result", "100 KB", "the same", least=0.7),
)
