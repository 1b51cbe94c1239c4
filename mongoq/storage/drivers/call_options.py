"""The options of PyMongo's methods that a command stands for."""

from __future__ import annotations

from typing import Any, Final

import pymongo

from mongoq.storage.commands import Aggregate, Changing, Count, Delete, Find, Removing, UpdateMany
from mongoq.storage.operations.endings.by_key import piped

FIRST_REPLY: Final = 10_000
"""Documents: a find without limit comes in one reply, if it fits 16 MiB. The server's own is 101, so that each look at
a thousand leases, and each at who got the tasks that a claim lost, took a second command."""


def hint_of(command: UpdateMany | Delete | Count | Aggregate) -> dict[str, Any]:
    """The hint of a command, and its comment."""
    options = {"hint": command.hint, "comment": getattr(command, "comment", None)}
    return {name: value for name, value in options.items() if value is not None}


def options_of_find(command: Find) -> dict[str, Any]:
    """The options of the method `find`."""
    options: dict[str, Any]
    if command.limit:
        options = {"limit": -command.limit, "batch_size": command.limit}
    elif command.most:
        options = {"limit": command.most}
    else:
        options = {"batch_size": FIRST_REPLY}
    if command.skip:
        options["skip"] = command.skip
    if command.only is not None:
        options["projection"] = list(command.only)
    elif command.without:
        options["projection"] = dict.fromkeys(command.without, 0)
    if command.sort is not None:
        options["sort"] = list(command.sort)
    if command.hint is not None:
        options["hint"] = command.hint
    if command.comment is not None:
        options["comment"] = command.comment
    if command.server_limit is not None:
        options["max_time_ms"] = int(command.server_limit.total_seconds() * 1_000)
    return options


def as_model(statement: Changing | Removing) -> Any:
    """A statement of a `Bulk` as the driver takes it."""
    if isinstance(statement, Removing):
        return (pymongo.DeleteMany if statement.many else pymongo.DeleteOne)(statement.where, hint="_id_")
    kind: Any = pymongo.UpdateMany if statement.many else pymongo.UpdateOne
    update = statement.update
    if statement.values is not None:
        assert isinstance(update, dict)
        update = piped(update, *statement.values)
    return kind(statement.where, update, hint="_id_", upsert=statement.upsert)
