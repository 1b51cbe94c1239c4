"""Administration: the server's time, the namespaces and the indexes.

Indexes are built when the collection is new or small, and only checked otherwise: `mongoq init` builds them on a
large collection, at a time that its operator chooses. The commit quorum is a majority, because a build with the
default quorum hung while one member was down (mongod 6.0.5).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from mongoq.core.errors import IndexMissing
from mongoq.storage.commands import Op, find, find_one
from mongoq.storage.context import Context
from mongoq.storage.control import CreateIndexes, Hello, ListCollections, ListIndexes
from mongoq.storage.documents import indexes

SMALL: Final = 1_000
BUILD_LIMIT: Final = timedelta(hours=6)


def hello() -> Op[dict[str, Any]]:
    """Ask the server for its description: its time, and its replica set."""
    reply: dict[str, Any] = yield Hello()
    return reply


def server_time() -> Op[datetime]:
    """Read the server's clock."""
    reply = yield from hello()
    time: datetime = reply["localTime"]
    return time


def ensure(context: Context) -> Op[None]:
    """Build the missing indexes of a new or small collection; raises IndexMissing for a larger one."""
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
    """Build every missing index and return their names; this may take hours on a large collection."""
    made: list[str] = []
    for collection, wanted in _wanted(context):
        existing = yield ListIndexes(collection)
        lacking = indexes.missing(wanted, existing)
        if lacking:
            yield from _build(collection, {name: wanted[name] for name in lacking})
        made += [f"{collection}.{name}" for name in lacking]
    return made


def namespaces() -> Op[list[str]]:
    """List the namespaces of the database that hold tasks, by name."""
    names: list[str] = yield ListCollections()
    found: list[str] = []
    for name in sorted(names):
        namespace, _, kind = name.rpartition(".")
        if namespace and kind == "tasks" and (yield from find_one(name, {}, only=["_id"])) is not None:
            found.append(namespace)
    return found


def _wanted(context: Context) -> tuple[tuple[str, dict[str, tuple[indexes.Keys, dict[str, Any]]]], ...]:
    return (context.tasks, indexes.TASKS), (context.workers, indexes.WORKERS)


def _build(collection: str, wanted: dict[str, tuple[indexes.Keys, dict[str, Any]]]) -> Op[None]:
    reply = yield from hello()
    quorum = "majority" if "setName" in reply else None
    yield CreateIndexes(collection, wanted, quorum, timeout=BUILD_LIMIT)
