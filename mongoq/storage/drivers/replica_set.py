"""Make a mongod the primary of a replica set of one node. Every step can be repeated."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

NOT_YET_INITIALIZED: Final = 94
ALREADY_INITIALIZED: Final = 23
_log = logging.getLogger("mongoq.embedded")


def made_primary(address: str, data: str, pause: Callable[[], None]) -> bool:
    """Initiate the server's replica set, or correct its address, and wait until it is a writable primary.

    False where the server does not answer, or its data lies in another folder than `data`.
    """
    client: MongoClient[dict[str, Any]]
    with MongoClient(address, directConnection=True, serverSelectionTimeoutMS=500, socketTimeoutMS=5000) as client:
        try:
            options = client.admin.command("getCmdLineOpts")
            if options["parsed"].get("storage", {}).get("dbPath") != data:
                return False
            while not client.admin.command("hello").get("isWritablePrimary"):
                _configure(client, address)
                pause()
        except PyMongoError as error:
            _log.debug("mongod is not ready: %s", error)
            return False
        return True


def _configure(client: MongoClient[dict[str, Any]], address: str) -> None:
    """Initiate the replica set if there is none, and correct its address if that is another."""
    try:
        config = client.admin.command("replSetGetConfig")["config"]
        member = config["members"][0]
        if member["host"] != address:
            member["host"] = address
            config["version"] += 1
            client.admin.command("replSetReconfig", config, force=True)
    except OperationFailure as error:
        if error.code != NOT_YET_INITIALIZED:
            raise
        _initiate(client, address)


def _initiate(client: MongoClient[dict[str, Any]], address: str) -> None:
    try:
        client.admin.command("replSetInitiate", {"_id": "rs", "members": [{"_id": 0, "host": address}]})
    except OperationFailure as error:
        if error.code != ALREADY_INITIALIZED:  # mongod is still reading its configuration
            raise
