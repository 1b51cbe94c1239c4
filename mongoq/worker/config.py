"""What a worker process is to do, and in which kind of executor."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from mongoq.core.host.version import installed_version
from mongoq.core.judging.policy import DEFAULTS, Policy
from mongoq.worker.executors.asyncio import AsyncioExecutor
from mongoq.worker.executors.base import Executor, Reports
from mongoq.worker.executors.batching import Batching
from mongoq.worker.executors.children.wear import NO_WEAR, Wear
from mongoq.worker.executors.opening import Opening
from mongoq.worker.executors.processes import ProcessExecutor
from mongoq.worker.executors.threads import ThreadExecutor
from mongoq.worker.handlers.signature import ASYNCIO, PROCESSES, Handler
from mongoq.worker.ledger import Ledger
from mongoq.worker.stages import Stage

RETRY: Final = "retry"
IGNORE: Final = "ignore"
STOP: Final = "stop"
ON_DEPENDENCY_ERROR: Final = (RETRY, IGNORE, STOP)


@dataclass(frozen=True, slots=True)
class WorkerConfig:
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
    on_dependency_error: str = RETRY
    """What follows where the change that a handler returned is refused: run the task again, complete it without the
    change, or run it again and end the worker."""
    prefetch: int | None = None
    """How many tasks to claim ahead of the free handlers at most; None: as their speed tells."""
    news: bool = True
    """Whether it listens for new work while it is idle; that takes a connection of its own."""
    policy: Policy = DEFAULTS
    """What applies to tasks that do not carry their own: the queue's options, with those of this run."""
    names: tuple[str, ...] = ()
    """The names of the tasks that it knows; without any it takes all tasks."""
    wear: Wear = NO_WEAR
    """When children of the process executor are replaced."""
    loop: asyncio.AbstractEventLoop | None = None
    """A running event loop for the coroutines of the asyncio executor; None: a loop of its own."""
    due_by: datetime | None = None
    """Run only what was due then, each task once."""
    stubborn: set[str] = field(default_factory=set)
    """The keys of tasks that its claims found to take no write: a burst does not wait for them."""

    pool: int | None = None
    """How many connections its client may have; None: without a limit."""

    def facts_of(self, worker: str, ledger: Ledger) -> dict[str, Any]:
        """What the heartbeats of a worker tell of it and of what it holds."""
        host, pid, _ = worker.rsplit(":", 2)
        told = {"host": host, "pid": int(pid), "queues": list(self.queues), "workers": self.workers}
        stages = Counter(attempt.stage for attempt in ledger.all())
        told |= {"running": stages[Stage.RUNNING], "ahead": stages[Stage.CLAIMED] + stages[Stage.WAITING]}
        told |= {"version": installed_version()} | ({} if self.pool is None else {"pool": self.pool})
        return told | ({"names": list(self.names)} if self.names else {})


def executor_for(config: WorkerConfig, reports: Reports) -> Executor:
    """The executor that runs a worker's handlers."""
    if config.handler.gathers:
        return Batching(config.handler, reports, lambda inner: _executor_for(config, inner))
    return _executor_for(config, reports)


def _executor_for(config: WorkerConfig, reports: Reports) -> Executor:
    if config.executor == PROCESSES:
        return ProcessExecutor(config.handler, config.workers, reports, config.policy.rules, config.wear)
    inner: ThreadExecutor | AsyncioExecutor
    if config.executor == ASYNCIO:
        inner = AsyncioExecutor(config.handler, config.workers, reports, loop=config.loop)
    else:
        inner = ThreadExecutor(config.handler, config.workers, reports)
    lifespan = config.handler.lifespan
    return inner if lifespan is None else Opening(inner, lifespan, reports)
