"""News of work from a change stream: sooner than the next poll, and never instead of it.

A stream is watched only while its process is idle, because every stream costs the server CPU at each write
(0.45 ms per insert without one, 1.43 with fifty). It is opened before the claim that finds nothing, so nothing
falls between the two. It is never resumed: after any error, or when it has silently died (after a drop
`try_next` returns None for ever), the next one starts from now, and a claim follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pymongo
from bson.errors import BSONError
from pymongo.errors import PyMongoError

from mongoq.core.lifecycle import FINISHED, TaskState
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters
from mongoq.storage.drivers.blocking import handle
from mongoq.storage.drivers.connection import Connection
from mongoq.storage.drivers.errors import translated
from mongoq.storage.drivers.sessions import outside_session

Pipeline = list[dict[str, Any]]

AWAIT_MS: Final = 5_000
"""How long one look waits on the server where nothing comes: as long as a poll's pause. With 2.5 s these looks were
half of what an idle worker sends; longer ones would only keep a stream, which costs the server something at every
write, for longer after its worker became busy."""
LATE: Final = 2.0
"""Seconds beyond that after which its socket is given up, whatever the client's own limit (3 s where mongoq opened it).

Where one connection dies unnoticed, news fails for 7 s at most; the driver's monitor ends it sooner where the whole
server is lost, and polls and sweeps go on meanwhile."""

NO_STREAMS: Final = frozenset({20, 40573})
"""What a standalone server answers."""


class ChangeStream:
    """A change stream of the news that `pipeline` lets through. For one thread.

    Never in a session that the application has bound: a stream in a transaction makes the server abort that.
    """

    def __init__(
        self, connection: Connection, context: Context, pipeline: Pipeline, *, await_ms: int = AWAIT_MS
    ) -> None:
        self._connection = connection
        self._tasks = context.tasks
        self._pipeline = pipeline
        self._await_ms = await_ms
        self._stream: Any = None

    @property
    def open(self) -> bool:
        """Whether a stream stands."""
        return self._stream is not None

    def begin(self) -> None:
        """Open a stream that starts now. StorageRefused with one of `NO_STREAMS` where there can be none."""
        try:
            collection = handle(self._connection, self._tasks, majority=True)
            self._stream = outside_session(collection.watch, self._pipeline, max_await_time_ms=self._await_ms)
        except (PyMongoError, BSONError) as error:
            raise translated(error, self._connection.where) from error

    def wait(self) -> TaskState | None:
        """Wait for news, at most `await_ms`: the state in which a task has appeared.

        None where there was no news, or where a task has gone.
        """
        try:
            with pymongo.timeout(self._await_ms / 1_000 + LATE):
                event = outside_session(self._stream.try_next)
            if event is None and not self._stream.alive:
                self.end()
        except (PyMongoError, BSONError) as error:
            self.end()
            raise translated(error, self._connection.where) from error
        state = event.get(fields.STATE) if event else None
        return TaskState(state) if state else None

    def end(self) -> None:
        """Close the stream, if one stands."""
        stream, self._stream = self._stream, None
        if stream is not None:
            try:
                outside_session(stream.close)
            except (PyMongoError, BSONError):
                return  # it is gone already, and its cursor ends by itself


def new_work(queues: Sequence[str], where: Mapping[str, Any] | None = None) -> Pipeline:
    """Tasks that appear in these queues with these tags, ready or scheduled, or fall due at another time.

    An update does not bring the whole task: it may concern another queue, and costs an empty claim then.
    """
    fresh = {"$in": [TaskState.READY.value, TaskState.SCHEDULED.value]}
    inserted = f"fullDocument.{fields.STATE}"
    of_ours = {
        f"fullDocument.{name}": wanted for name, wanted in {**filters.named(queues), **filters.tagged(where)}.items()
    }
    moved = {_updated(fields.QUEUE): {"$in": list(queues)}}
    put_off = {_updated(fields.RUN_AT): {"$exists": True}}
    otherwise = {"$cond": [f"${_updated(fields.QUEUE)}", TaskState.READY.value, TaskState.SCHEDULED.value]}
    return [
        {"$match": {"$or": [{inserted: fresh, **of_ours}, {_updated(fields.STATE): fresh}, moved, put_off]}},
        {"$project": {fields.STATE: {"$ifNull": [f"${inserted}", f"${_updated(fields.STATE)}", otherwise]}}},
    ]


def ending_of(key: str) -> Pipeline:
    """The end of one task: that it finishes, or goes."""
    done = {_updated(fields.STATE): {"$in": [state.value for state in FINISHED]}}
    ends = [done, {"operationType": {"$in": ["delete", "replace", "insert"]}}]
    return [
        {"$match": {f"documentKey.{fields.KEY}": {"$eq": key}, "$or": ends}},
        {"$project": {fields.STATE: f"${_updated(fields.STATE)}"}},
    ]


def _updated(field: str) -> str:
    return f"updateDescription.updatedFields.{field}"
