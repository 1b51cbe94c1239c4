"""Checks of the workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mongoq.diagnosis.check import Found, check
from mongoq.diagnosis.facts import Fleet, Holders
from mongoq.diagnosis.finding import Level
from mongoq.diagnosis.words import span, tasks

ENGINE: Final = 5
"""Connections that a worker process keeps for its own threads while it works."""
MOST: Final = 100
"""A pool of so many, the driver's default, is never told: few handlers use the database at the same moment."""


@check(
    "worker.silent", Level.WARNING, "a worker without a heartbeat for 25 s",
    effect="It is dead, frozen or cut off; its tasks run elsewhere when their leases are over.",
    advice="See whether its process lives, and restart it. Its entry goes a minute after its last heartbeat.",
    command="mongoq workers",
)  # fmt: skip
def silent(fleet: Fleet) -> Iterator[Found]:
    """Silent workers."""
    for one in fleet.workers:
        if one.is_silent(fleet.at):
            held = f" and holds {tasks(one.running)}" if one.running else ""
            quiet = span(one.silent(fleet.at))
            yield Found(one.id, f"The worker {one.host}:{one.pid} has been silent for {quiet}{held}")


@check(
    "worker.gone", Level.NOTE, "running tasks with minutes of lease left, held by a process without a heartbeat",
    effect="A worker that died keeps its tasks until their leases end; one that claims by hand sends no heartbeat.",
    advice="See whether that process lives; where it is dead, wait for the end of the leases, or shorten them.",
    command="mongoq ls --state running",
)  # fmt: skip
def gone(fleet: Fleet, holders: Holders) -> Iterator[Found]:
    """Holders that are no workers."""
    known = {one.id for one in fleet.workers}
    for one in holders.holders:
        if one.name not in known:
            until = f"the last until {one.until:%H:%M:%S} UTC"
            yield Found(one.name, f"{one.name} sends no heartbeat and holds {tasks(one.tasks)}, {until}")


@check(
    "worker.pool", Level.WARNING, "a worker with fewer connections than handlers",
    effect="Handlers that use the queue wait for each other, and for the worker's own renewals.",
    advice="Raise maxPoolSize in the worker's URI above its number of handlers, or run fewer of them.",
    command="mongoq workers",
)  # fmt: skip
def pool(fleet: Fleet) -> Iterator[Found]:
    """Workers with small pools."""
    for one in fleet.workers:
        if one.pool is not None and one.pool < min(one.workers + ENGINE, MOST):
            problem = (
                f"The worker {one.host}:{one.pid} has {one.pool} connections for {one.workers} handlers and itself"
            )
            yield Found(one.id, problem)
