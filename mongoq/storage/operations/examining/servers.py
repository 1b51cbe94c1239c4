"""Ask the server what it is: its set, its members, its oplog, its parameters, and the rights of this user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from mongoq.core.errors import StorageRefused, StorageUnavailable
from mongoq.diagnosis.facts import Members, Oplog, Parameters, Rights, Server
from mongoq.storage.asking import Ask
from mongoq.storage.commands import Document, Op
from mongoq.storage.context import Context

ADMIN: Final = "admin"
FULL: Final = 0.9
"""An oplog that has so much of its size has begun to drop entries, or is about to."""
_HEALTHY: Final = ("PRIMARY", "SECONDARY", "ARBITER")
_ON_TASKS: Final = ("find", "insert", "update", "remove", "listIndexes")
NEEDS: Final[Mapping[str, Sequence[tuple[str, str]]]] = {
    "producer": (("insert", "tasks"), ("listIndexes", "tasks")),
    "worker": (
        *((action, "tasks") for action in (*_ON_TASKS, "changeStream")),
        *((action, "workers") for action in _ON_TASKS),
    ),
    "operator": (
        *((action, "tasks") for action in ("find", "update", "remove", "listIndexes")),
        ("find", "workers"), ("listIndexes", "workers"),
    ),
}  # fmt: skip
"""What each role needs on the collections of a namespace, as docs/security.md has it."""


def server() -> Op[Server]:
    """What any member says of itself and of its set."""
    reply: Document = yield Ask({"hello": 1}, ADMIN, anywhere=True)
    hosts = (*_texts(reply.get("hosts")), *_texts(reply.get("passives")))
    sharded = reply.get("msg") == "isdbgrid"
    return Server(reply.get("setName"), sharded, hosts, _texts(reply.get("arbiters")), reply.get("primary"))


def members() -> Op[Members]:
    """The configuration and the state of the set's members."""
    config: Document = (yield Ask({"replSetGetConfig": 1}, ADMIN))["config"]
    status: Document = yield Ask({"replSetGetStatus": 1}, ADMIN)
    voters = sum(1 for one in config["members"] if one.get("votes", 1))
    rows = status["members"]
    down = tuple(row["name"] for row in rows if row.get("stateStr") not in _HEALTHY or row.get("health") == 0)
    newest = max((row["optimeDate"] for row in rows if "optimeDate" in row), default=None)
    behind = {
        row["name"]: newest - row["optimeDate"]
        for row in rows
        if newest is not None and "optimeDate" in row and row.get("stateStr") == "SECONDARY"
    }
    return Members(voters, config.get("writeConcernMajorityJournalDefault", True) is True, down, behind)


def oplog() -> Op[Oplog]:
    """How far the oplog reaches back, and whether it is full: three reads of one document each."""
    ends = []
    for order in (1, -1):
        read = {"find": "oplog.rs", "sort": {"$natural": order}, "limit": 1, "projection": {"ts": 1}}
        ends += (yield Ask(read, "local"))["cursor"]["firstBatch"]
    stages = [{"$collStats": {"storageStats": {}}}, {"$project": {"storageStats.size": 1, "storageStats.maxSize": 1}}]
    sizes = (yield Ask({"aggregate": "oplog.rs", "pipeline": stages, "cursor": {}}, "local"))["cursor"]["firstBatch"]
    size = sizes[0]["storageStats"] if sizes else {}
    full = size.get("size", 0) >= FULL * size.get("maxSize", float("inf"))
    window = timedelta(seconds=ends[-1]["ts"].time - ends[0]["ts"].time) if ends else timedelta(0)
    return Oplog(window, full)


def parameters() -> Op[Parameters]:
    """The parameters that a queue depends on."""
    names = ("ttlMonitorEnabled", "ttlMonitorSleepSecs", "minSnapshotHistoryWindowInSeconds")
    reply: Document = yield Ask({"getParameter": 1, **dict.fromkeys(names, 1)}, ADMIN)
    return Parameters(
        reply.get(names[0], True) is True,
        timedelta(seconds=reply.get(names[1], 60)),
        timedelta(seconds=reply.get(names[2], 0)),
    )


def rights(context: Context, database: str) -> Op[Rights]:
    """What this user lacks for each role; nothing where the server asks nobody for a name."""
    reply: Document = yield Ask({"connectionStatus": 1, "showPrivileges": True}, ADMIN)
    told = reply["authInfo"]
    users = ", ".join(str(one.get("user", "")) for one in told.get("authenticatedUsers", ()))
    if not users:
        return Rights("", dict.fromkeys(NEEDS, ()))
    privileges = told.get("authenticatedUserPrivileges", ())
    lacks = {
        role: [
            f"{action} on {collection}"
            for action, collection in needed
            if not _may(privileges, action, database, f"{context.namespace}.{collection}")
        ]
        for role, needed in NEEDS.items()
    }
    return Rights(users, lacks)


def has_primary() -> Op[bool]:
    """Whether a primary answers, waiting for one as long as the client does."""
    try:
        yield Ask({"hello": 1}, ADMIN)
    except StorageUnavailable:
        return False
    except StorageRefused as error:
        if not error.no_right:
            raise
    return True


def _may(privileges: Sequence[Mapping[str, Any]], action: str, database: str, collection: str) -> bool:
    return any(
        action in one.get("actions", ()) and _covers(one["resource"], database, collection) for one in privileges
    )


def _covers(resource: Mapping[str, Any], database: str, collection: str) -> bool:
    """Whether a resource of a privilege is this collection, or a pattern for it: an empty name stands for any."""
    if resource.get("anyResource"):
        return True
    return resource.get("db") in ("", database) and resource.get("collection") in ("", collection)


def _texts(found: Any) -> tuple[str, ...]:
    return tuple(str(one) for one in found) if isinstance(found, list) else ()
