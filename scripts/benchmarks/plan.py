"""What `all` measures, and `compare` guards: every row of docs/performance.md, each with a size that tells enough."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Size:
    """How much of a benchmark is run; None: as much as it does by itself."""

    repeat: int
    """Rounds of `all`; `compare` has rounds of its own."""
    tasks: int | None = None
    seconds: float | None = None

    def arguments(self) -> list[str]:
        """The options of the command line that ask for one round of it."""
        asked = {"--tasks": self.tasks, "--seconds": self.seconds}
        return [text for name, value in asked.items() if value is not None for text in (name, str(value))]


PLAN: Final[dict[str, Size]] = {
    "drain": Size(5, 20_000),
    "drain.default": Size(5, 30_000),
    "contention": Size(2, 20_000),
    "enqueue": Size(3, 20_000),
    "async": Size(3),
    "latency": Size(3, 100),
    "executors": Size(2, 6_000),
    "cost": Size(3, 30_000),
    "payload": Size(3),
    "queues": Size(3, 30_000),
    "functions": Size(2, 10_000),
    "modify": Size(2, 1_000),
    "idle": Size(1),
    "fleet": Size(1, 60_000),  # with 30,000, a process of 64 has less than half a batch
    "fleet.one": Size(1, 30),
    "fleet.idle": Size(1, seconds=30),
}
"""In the order in which they run: about 25 minutes on 2 cores."""
ROWS: Final = (
    "drain.delete", "drain.keep", "drain.default", "contention.2", "contention.4", "contention.8",
    "enqueue.one", "enqueue.many", "enqueue.submit", "enqueue.buffer", "async.gather",
    "latency.p50", "latency.p99", "latency.8.p50",
    "executors.threads", "executors.asyncio", "executors.processes", "executors.processes.1ms",
    "executors.processes.noop", "functions.drain", "modify.100", "cost", "payload", "queues", "idle",
    "fleet", "fleet.one", "fleet.idle",
)  # fmt: skip
"""What is compared where nothing else is asked for."""


def benchmark_of(row: str, known: Collection[str] = PLAN) -> str:
    """The benchmark that measures a row: the longest beginning of its name that is one, or the part before a dot."""
    parts = row.split(".")
    beginnings = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((name for name in beginnings if name in known), parts[0])


def is_wanted(row: str, wanted: Sequence[str]) -> bool:
    """Whether one of the names is this row or its benchmark."""
    return row in wanted or benchmark_of(row) in wanted
