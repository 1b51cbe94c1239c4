"""What a worker process is to do, and in which kind of executor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mongoq.work.coroutines import AsyncioExecutor
from mongoq.work.executor import Executor, Reports
from mongoq.work.handler import ASYNCIO, PROCESSES, THREADS, Handler
from mongoq.work.processes import ProcessExecutor
from mongoq.work.threads import ThreadExecutor

EXECUTORS: Final[dict[str, Callable[[Handler, int, Reports], Executor]]] = {
    THREADS: ThreadExecutor,
    ASYNCIO: AsyncioExecutor,
    PROCESSES: ProcessExecutor,
}


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker process is to do."""

    handler: Handler
    executor: str
    queues: tuple[str, ...]
    workers: int
    burst: bool = False
    """Stop when nothing is ready and nothing runs."""
    limit: int | None = None
    """Stop after so many tasks."""
    where: Mapping[str, Any] = field(default_factory=dict)
    """The tags that its tasks have."""
