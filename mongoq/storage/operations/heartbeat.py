"""Heartbeats: one document per worker process, deleted a minute after its last heartbeat.

They are for display only: a task's token decides who holds it, never a heartbeat.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from mongoq.core.stats import WorkerInfo
from mongoq.storage.commands import Delete, Document, Op, UpdateMany, find
from mongoq.storage.context import Context
from mongoq.storage.documents import filters
from mongoq.storage.refusals import KeyTaken


def beat(context: Context, worker: str, facts: dict[str, Any]) -> Op[None]:
    """Write the heartbeat of this worker, with what it is doing; one that arrives behind a newer one is dropped."""
    now = context.clock.now()
    update = {"$set": {**facts, "seen_at": now}, "$setOnInsert": {"started_at": now}}
    with suppress(KeyTaken):  # the newer one does not match, so an insert is tried
        yield UpdateMany(context.workers, {"_id": worker, **filters.seen_before(now)}, update, upsert=True)


def leave(context: Context, worker: str) -> Op[None]:
    """Delete the heartbeat of a worker that stops."""
    yield Delete(context.workers, {"_id": worker})


def workers(context: Context) -> Op[list[WorkerInfo]]:
    """List the workers that sent a heartbeat within the last minute."""
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
