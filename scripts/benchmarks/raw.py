"""The limits: what bare pymongo does on the same server, with the same documents and guarantees."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import ReadPreference, UpdateOne, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.read_concern import ReadConcern

BATCH = 1_000
"""Its best: it drained 11,000 to 15,000/s with 400, 17,000 to 20,000 with 1,000, and about as many with 2,000."""
READY = {"queue": "default", "state": "ready"}
ORDER = [("priority", -1), ("run_at", 1), ("_id", 1)]

Tasks = Collection[Any]
Finish = Callable[[Tasks, list[Any], str], int]


def collection(database: Database[Any], name: str) -> Tasks:
    """A collection that writes at majority, as the queue's own handles do."""
    return database.get_collection(
        name, write_concern=WriteConcern(w="majority"), read_preference=ReadPreference.PRIMARY
    )


def delete(tasks: Tasks, keys: list[Any], token: str) -> int:
    """End a batch as `keep_completed=0` does."""
    return tasks.delete_many({"_id": {"$in": keys}, "hold.token": token, "state": "running"}).deleted_count


def keep(tasks: Tasks, keys: list[Any], token: str) -> int:
    """End a batch as completed, kept for an hour."""
    now = datetime.now(UTC)
    done = {
        "state": "completed",
        "modified_at": now,
        "finished_at": now,
        "purge_at": now + timedelta(hours=1),
        "last_token": f"{token}/complete",
    }
    return tasks.update_many(
        {"_id": {"$in": keys}, "hold.token": token, "state": "running"},
        {"$set": done, "$inc": {"version": 1}, "$unset": {"hold.token": "", "hold.until": "", "lost_leases": ""}},
    ).modified_count


def plain(tasks: Tasks, finish: Finish = delete) -> float:
    """Tasks/s of the plain loop: take a batch, end it, take the next."""
    began, done = time.perf_counter(), 0
    while batch := _claim(tasks):
        done += finish(tasks, *batch)
    return done / (time.perf_counter() - began)


def pipelined(tasks: Tasks, finish: Finish) -> float:
    """Tasks/s of two threads: one takes the next batch while the other ends the last."""
    began = time.perf_counter()
    return ended(tasks, finish) / (time.perf_counter() - began)


def ended(tasks: Tasks, finish: Finish) -> int:
    """How many tasks the pipelined loop has ended, when no more are ready."""
    done = 0
    ending: Future[int] | None = None
    with ThreadPoolExecutor(1) as pool:
        while batch := _claim(tasks):
            done += ending.result() if ending else 0
            ending = pool.submit(finish, tasks, *batch)
        return done + (ending.result() if ending else 0)


def _claim(tasks: Tasks) -> tuple[list[Any], str] | None:
    """Find a batch and take it by a guarded update."""
    found = list(tasks.find(READY, sort=ORDER, hint="claim", limit=BATCH, batch_size=BATCH))
    if not found:
        return None
    keys, token = [document["_id"] for document in found], secrets.token_hex(16)
    tasks.update_many({"_id": {"$in": keys}, **READY, "version": 1}, _held(token))
    return keys, token


def _held(token: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    hold = {"token": token, "worker": "raw", "started_at": now, "until": now + timedelta(seconds=30)}
    return {"$set": {"state": "running", "hold": hold}, "$inc": {"version": 1, "attempts": 1}}


def insert_many(tasks: Tasks, documents: list[dict[str, Any]]) -> float:
    """Tasks/s of insert_many in chunks of 1,000."""
    began = time.perf_counter()
    for start in range(0, len(documents), 1_000):
        tasks.insert_many(documents[start : start + 1_000])
    return len(documents) / (time.perf_counter() - began)


def insert_one(tasks: Tasks, documents: list[dict[str, Any]]) -> float:
    """Tasks/s of insert_one, one after the other."""
    began = time.perf_counter()
    for document in documents:
        tasks.insert_one(document)
    return len(documents) / (time.perf_counter() - began)


def change(tasks: Tasks, wanted: Sequence[tuple[Any, int, int]]) -> None:
    """Give tasks (key, version) a priority, all at once or none."""
    now = datetime.now(UTC)
    writes = [
        UpdateOne(
            {"_id": key, "version": version, "state": "ready"},
            {"$set": {"priority": priority, "modified_at": now}, "$inc": {"version": 1}},
            hint="_id_",
        )
        for key, version, priority in wanted
    ]

    def body(session: ClientSession) -> None:
        if tasks.bulk_write(writes, session=session).matched_count != len(writes):
            raise LookupError("a task has moved on")

    with tasks.database.client.start_session() as session:
        session.with_transaction(body, ReadConcern("snapshot"), WriteConcern("majority"))


def take(tasks: Tasks) -> Any:
    """Claim the first task in one step."""
    return tasks.find_one_and_update(READY, _held(secrets.token_hex(16)), sort=ORDER, hint="claim")
