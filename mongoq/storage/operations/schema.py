"""Administration: the server's time, and the indexes.

Indexes are made where the collection is new or small, and only checked otherwise: a build on a filled
collection belongs to `mongoq init`, at a moment its operator chooses. It asks for a majority as commit quorum,
because a plain build on a filled collection hung while one member was down (mongod 6.0.5).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from mongoq.core.errors import IndexMissing
from mongoq.storage.commands import CreateIndexes, Hello, ListIndexes, Op, find
from mongoq.storage.context import Context
from mongoq.storage.documents import indexes

SMALL: Final = 1_000
BUILD_LIMIT: Final = timedelta(hours=6)


def hello() -> Op[dict[str, Any]]:
    """What the server says of itself: its time, and whether it is part of a replica set."""
    reply: dict[str, Any] = yield Hello()
    return reply


def server_time() -> Op[datetime]:
    """The server's clock."""
    reply = yield from hello()
    time: datetime = reply["localTime"]
    return time


def ensure(context: Context) -> Op[None]:
    """Make the indexes of a new or small collection; IndexMissing where a filled one lacks any."""
    for collection, wanted in _wanted(context):
        existing = yield ListIndexes(collection)
        lacking = indexes.missing(wanted, existing)
        if not lacking:
            continue
        some = yield from find(collection, {}, only=["_id"], limit=SMALL + 1)
        if len(some) > SMALL:
            raise IndexMissing(
                f"the collection {collection} lacks the index {', '.join(lacking)}; `mongoq init` makes it"
            )
        yield from _build(collection, {name: wanted[name] for name in lacking})


def init(context: Context) -> Op[list[str]]:
    """Make every index that is missing; their names. May take long on a filled collection."""
    made: list[str] = []
    for collection, wanted in _wanted(context):
        existing = yield ListIndexes(collection)
        lacking = indexes.missing(wanted, existing)
        if lacking:
            yield from _build(collection, {name: wanted[name] for name in lacking})
        made += [f"{collection}.{name}" for name in lacking]
    return made


def _wanted(context: Context) -> tuple[tuple[str, dict[str, tuple[indexes.Keys, dict[str, Any]]]], ...]:
    return (context.tasks, indexes.TASKS), (context.workers, indexes.WORKERS)


def _build(collection: str, wanted: dict[str, tuple[indexes.Keys, dict[str, Any]]]) -> Op[None]:
    reply = yield from hello()
    quorum = "majority" if "setName" in reply else None
    yield CreateIndexes(collection, wanted, quorum, timeout=BUILD_LIMIT)
