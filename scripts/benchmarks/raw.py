"""The limits: what bare pymongo does on the same server, with the same documents and guarantees."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import ReadPreference, WriteConcern
from pymongo.collection import Collection
from pymongo.database import Database

BATCH = 400


def collection(database: Database[Any], name: str) -> Collection[Any]:
    """A collection that writes at majority, as the queue's own handles do."""
    return database.get_collection(
        name, write_concern=WriteConcern(w="majority"), read_preference=ReadPreference.PRIMARY
    )


def drain(tasks: Collection[Any]) -> float:
    """Tasks/s of the plain loop: find a batch, take it by a guarded update, delete it."""
    began, done = time.perf_counter(), 0
    order = [("priority", -1), ("run_at", 1), ("_id", 1)]
    while True:
        ready = {"queue": "default", "state": "ready"}
        found = list(tasks.find(ready, sort=order, hint="claim", limit=BATCH, batch_size=BATCH))
        if not found:
            return done / (time.perf_counter() - began)
        keys = [document["_id"] for document in found]
        token, now = secrets.token_hex(16), datetime.now(UTC)
        hold = {
            "state": "running",
            "token": token,
            "worker": "raw",
            "lease_until": now + timedelta(seconds=30),
        }
        tasks.update_many(
            {"_id": {"$in": keys}, **ready, "version": 1},
            {"$set": hold, "$inc": {"version": 1, "attempts": 1}},
        )
        done += tasks.delete_many({"_id": {"$in": keys}, "token": token, "state": "running"}).deleted_count


def insert_many(tasks: Collection[Any], documents: list[dict[str, Any]]) -> float:
    """Tasks/s of insert_many in chunks of 1,000."""
    began = time.perf_counter()
    for start in range(0, len(documents), 1_000):
        tasks.insert_many(documents[start : start + 1_000])
    return len(documents) / (time.perf_counter() - began)


def insert_one(tasks: Collection[Any], documents: list[dict[str, Any]]) -> float:
    """Tasks/s of insert_one, one after the other."""
    began = time.perf_counter()
    for document in documents:
        tasks.insert_one(document)
    return len(documents) / (time.perf_counter() - began)
