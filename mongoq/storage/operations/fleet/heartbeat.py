"""Heartbeats: one document per worker process, deleted a minute after its last heartbeat.

They decide only who watches for new work and who is called for it (`core/fleet.py`): a wrong one costs a delay. A
task's token decides who holds it, never a heartbeat.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from mongoq.core.fleet import SILENT, Idle
from mongoq.core.stats import WorkerInfo
from mongoq.storage.commands import Aggregate, Delete, Document, Op, UpdateMany, find
from mongoq.storage.context import Context
from mongoq.storage.documents import filters
from mongoq.storage.refusals import KeyTaken

SILENT_WATCHER: Final = timedelta(seconds=8)
"""A watcher beats every 3 s. One that is silent for so long is replaced."""
MOST_NAMES: Final = 100
"""A list that is longer is written when it has changed only."""
_SHOWN: Final = ("place", "workers", "idle", "watching", "seen_at", "lists")
_LISTS: Final = ("queues", "covers", "names")
MOST_SECONDS: Final = 1e9
Lists = dict[str, Any]
"""The queues, the covered queues and the names of a heartbeat."""


class Look(NamedTuple):
    """What one look at the heartbeats of the others found."""

    idle: list[Idle]
    alone: bool
    """Whether no other process lives, idle or busy."""
    time: datetime | None
    """The server's time; None where there was nothing to read it with."""


def beat(context: Context, worker: str, facts: dict[str, Any]) -> Op[None]:
    """Write the heartbeat of this worker, with what it is doing; one that arrives behind a newer one is dropped.

    Long lists are written when they have changed, and not with each beat: the names of 10,000 queues are 200 KB.
    """
    now = context.clock.now()
    where = {"_id": worker, **filters.seen_before(now)}
    long = {name: value for name, value in facts.items() if isinstance(value, list) and len(value) > MOST_NAMES}
    if long:
        facts = {**facts, "lists": hashlib.sha256(repr([facts.get(name) for name in _LISTS]).encode()).hexdigest()}
        short = {name: value for name, value in facts.items() if name not in _LISTS}
        update = {"$set": {**short, "seen_at": now}}
        if (yield UpdateMany(context.workers, {**where, "lists": facts["lists"]}, update)):
            return
    update = {"$set": {**facts, "seen_at": now}, "$setOnInsert": {"started_at": now}}
    with suppress(KeyTaken):  # the newer one does not match, so an insert is tried
        yield UpdateMany(context.workers, where, update, upsert=True)


def leave(context: Context, worker: str) -> Op[None]:
    """Delete the heartbeat of a worker that stops."""
    yield Delete(context.workers, {"_id": worker})


def read_others(context: Context, worker: str, most: int, known: dict[str, Lists]) -> Op[Look]:
    """Read the heartbeats of other processes in the order in which they are to watch, at most so many.

    Each row brings the server's time, so that a process that only sleeps need not ask for it. Long lists that are
    `known` are not read again; those that were read are added.
    """
    now = context.clock.now()
    rows: list[Document] = yield Aggregate(
        context.workers,
        [
            {"$match": {"seen_at": {"$gte": now - SILENT}, "place": {"$type": "number"}}},
            {"$sort": {"idle": -1, "watching": -1, "place": 1}},
            {"$limit": most},
            {"$project": {**dict.fromkeys(_SHOWN, 1), **_unless(known), "now": "$$NOW"}},
        ],
    )
    others = [row for row in rows if row["_id"] != worker]
    heard = {True: now - SILENT_WATCHER, False: now - SILENT}
    _recall(others, known)
    idle = [_idle(row) for row in others if row.get("idle") and row["seen_at"] >= heard[bool(row.get("watching"))]]
    return Look(idle, not others, rows[0]["now"] if rows else None)


def _unless(known: dict[str, Lists]) -> Document:
    """What to read of the lists: nothing where they are known."""
    if not known:
        return dict.fromkeys(_LISTS, 1)
    return {name: {"$cond": [{"$in": ["$lists", list(known)]}, "$$REMOVE", f"${name}"]} for name in _LISTS}


def _recall(rows: list[Document], known: dict[str, Lists]) -> None:
    """Complete rows by the lists that are known, and keep those that are new, as long as somebody has them."""
    seen = {row["lists"] for row in rows if isinstance(row.get("lists"), str)}
    for gone in known.keys() - seen:
        del known[gone]
    for row in rows:
        mark = row.get("lists")
        if isinstance(mark, str):
            lists = known.setdefault(mark, {name: row.get(name) for name in _LISTS})
            row.update(lists)


def workers(context: Context) -> Op[list[WorkerInfo]]:
    """List the workers that sent a heartbeat within the last minute."""
    found = yield from find(context.workers, {}, sort=[("_id", 1)])
    return [info for document in found if (info := _info(document)) is not None]


def _idle(row: Document) -> Idle:
    queues, covers, names = (_texts(row, field) for field in ("queues", "covers", "names"))
    watching = bool(row.get("watching"))
    return Idle(row["_id"], row["place"], queues, _count(row, "workers", 1), watching, covers, names)


def _info(document: Document) -> WorkerInfo | None:
    """The worker of a heartbeat; None where somebody else's document is none."""
    key, started_at, seen_at = (document.get(name) for name in ("_id", "started_at", "seen_at"))
    if not (isinstance(key, str) and isinstance(started_at, datetime) and isinstance(seen_at, datetime)):
        return None
    host = document.get("host")
    return WorkerInfo(
        id=key,
        host=host if isinstance(host, str) else "",
        pid=_count(document, "pid"),
        queues=_texts(document, "queues"),
        workers=_count(document, "workers"),
        running=_count(document, "running"),
        ahead=_count(document, "ahead"),
        version=version if isinstance(version := document.get("version"), str) else None,
        pool=_count(document, "pool") or None,
        ahead_of_server=_seconds(document.get("clock")),
        names=_texts(document, "names"),
        started_at=started_at,
        seen_at=seen_at,
    )


def _seconds(found: Any) -> timedelta | None:
    """A duration in seconds; None where there is none, or none that can be."""
    return timedelta(seconds=found) if isinstance(found, int | float) and abs(found) < MOST_SECONDS else None


def _texts(document: Document, field: str) -> tuple[str, ...]:
    found = document.get(field)
    return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else ()


def _count(document: Document, field: str, default: int = 0) -> int:
    found = document.get(field)
    return found if isinstance(found, int) else default
