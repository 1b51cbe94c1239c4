"""The fleet: a heartbeat document per worker process, forgotten a minute after its last beat.

For people to look at only: who holds a task is decided by its token, never by a heartbeat.
"""

from __future__ import annotations

from typing import Any

from mongoq.core.task import WorkerInfo
from mongoq.storage.commands import Delete, Document, Op, UpdateMany, find
from mongoq.storage.context import Context


def beat(context: Context, worker: str, facts: dict[str, Any]) -> Op[None]:
    """Say that this worker lives, and what it is doing."""
    now = context.clock.now()
    update = {"$set": {**facts, "seen_at": now}, "$setOnInsert": {"started_at": now}}
    yield UpdateMany(context.workers, {"_id": worker}, update, upsert=True)


def leave(context: Context, worker: str) -> Op[None]:
    """Take the heartbeat of a worker that stops away."""
    yield Delete(context.workers, {"_id": worker})


def workers(context: Context) -> Op[list[WorkerInfo]]:
    """The workers that were alive within the last minute."""
    found = yield from find(context.workers, {}, sort=[("_id", 1)])
    return [_info(document) for document in found]


def _info(document: Document) -> WorkerInfo:
    return WorkerInfo(
        id=document["_id"],
        host=document.get("host", ""),
        pid=document.get("pid", 0),
        queues=tuple(document.get("queues", ())),
        workers=document.get("workers", 0),
        running=document.get("running", 0),
        started_at=document["started_at"],
        seen_at=document["seen_at"],
    )
