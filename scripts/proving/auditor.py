"""An eye-witness of a run: every change of every task that a majority of the servers kept, in their order.

It follows a change stream, which shows nothing that could still be rolled back, and goes on where it stopped
whenever the servers fail.
"""

from __future__ import annotations

import threading
import time
from datetime import datetime
from typing import Any, Final

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from mongoq.core.clock import elapsed
from mongoq.core.lifecycle import FINISHED
from mongoq.storage.documents import fields
from proving.history import GONE, Change
from proving.journal import Journal

LIMITS: Final[dict[str, Any]] = {"serverSelectionTimeoutMS": 2000, "connectTimeoutMS": 2000, "socketTimeoutMS": 5000}
WRITTEN: Final = {
    "version": fields.VERSION,
    "state": fields.STATE,
    "token": fields.TOKEN,
    "last_token": fields.LAST_TOKEN,
    "attempts": fields.ATTEMPTS,
    "lease_until": fields.LEASE_UNTIL,
    "worker": fields.WORKER,
}

RELATED: Final = (fields.PARENTS, fields.ON_PARENT_FAILURE, fields.BATCH, fields.LIMITS)
OPEN: Final = f"{fields.CALLBACK}.open"


class Auditor:
    """Follows one collection in a thread of its own, from the end of `__init__` until `finish`."""

    def __init__(self, uri: str, database: str, collection: str, journal: Journal) -> None:
        self._client: MongoClient[dict[str, Any]] = MongoClient(uri, tz_aware=True, **LIMITS)
        self._tasks = self._client[database][collection]
        self._journal = journal
        self._token: Any = None
        self._versions: dict[str, int] = {}
        self._over = threading.Event()
        with self._watch() as stream:
            self._token = stream.resume_token
        self._thread = threading.Thread(target=self._follow, name="auditor", daemon=True)
        self._thread.start()

    def finish(self, timeout: float) -> None:
        """Write down how every task stands, once all that led there has been seen, or the time is over."""
        deadline = time.monotonic() + timeout
        found = list(self._tasks.find())
        while time.monotonic() < deadline and any(self._versions.get(d["_id"]) != d["version"] for d in found):
            self._over.wait(0.1)
        self._over.set()
        self._thread.join(timeout)
        for document in found:
            facts = {"state": document["state"], "attempts": document.get("attempts", 0)}
            facts |= {"version": document["version"], "last_token": document.get("last_token")}
            self._journal.write("document", key=document["_id"], **facts)
        self._client.close()

    def _watch(self) -> Any:
        return self._tasks.watch(resume_after=self._token, max_await_time_ms=500)

    def _follow(self) -> None:
        while not self._over.is_set():
            try:
                with self._watch() as stream:
                    while stream.alive and not self._over.is_set():
                        event = stream.try_next()
                        if event is not None:
                            self._note(event)
                        self._token = stream.resume_token or self._token
            except PyMongoError as error:
                self._journal.write("blind", error=f"{type(error).__name__}: {str(error)[:200]}")
                self._over.wait(0.2)

    def _note(self, event: dict[str, Any]) -> None:
        if event["operationType"] == "delete":
            written = {fields.STATE: GONE}
        elif event["operationType"] == "insert":
            written = event["fullDocument"]
        else:
            written = event.get("updateDescription", {}).get("updatedFields", {})
        shift = elapsed() - time.time()
        known = {name: value for name, field in WRITTEN.items() if (value := _written(written, field)) is not None}
        facts: dict[str, Any] = {
            name: v.timestamp() + shift if isinstance(v, datetime) else v for name, v in known.items()
        }
        change = Change(event["documentKey"]["_id"], event["wallTime"].timestamp() + shift, **facts)
        told = {name: value for name, value in change._asdict().items() if value is not None}
        self._journal.write("change", **told, **_related(event))
        if change.version is not None:
            self._versions[change.key] = change.version


def _related(event: dict[str, Any]) -> dict[str, Any]:
    """What a change says of the parents, the batch and the limits of a task."""
    if event["operationType"] == "insert":
        document = event["fullDocument"]
        found = {name: document[name] for name in RELATED if name in document}
        if fields.LIMITS in document:
            found["tenant"] = document[fields.TAGS].get("tenant")
        return found | ({"callback": True} if fields.CALLBACK in document else {})
    written = event.get("updateDescription", {}).get("updatedFields", {})
    counts = written.get(fields.PAYLOAD)
    told: dict[str, Any] = {"closed": True} if written.get(OPEN) is False else {}
    if isinstance(counts, dict) and fields.BATCH in counts:
        told["counted"] = sum(counts[state.value] for state in FINISHED)
    return told


def _written(written: dict[str, Any], field: str) -> Any:
    """The new value of a field, which an event names by itself or within its sub-document."""
    return written[field] if field in written else fields.value_of(written, field)
