"""Wake-ups from a change stream: sooner than the next poll, and never instead of it.

A stream is watched only while its process is idle, because every stream costs the server CPU at each write
(0.45 ms per insert without one, 1.43 with fifty). It is opened before the claim that finds nothing, so nothing
falls between the two. It is never resumed: after any error, or when it has silently died (after a drop
`try_next` returns None for ever), the next one starts from now, and a claim follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from mongoq.core.lifecycle import FINISHED, TaskState
from mongoq.storage.commands import Document, Next, Op, Unwatch, Watch
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters

Pipeline = list[dict[str, Any]]

AWAIT: Final = 5.0
"""Seconds that one look waits on the server where nothing comes: as long as a poll's pause. With 2.5 these looks were
half of what an idle worker sends; longer ones would only keep a stream, which costs the server something at every
write, for longer after its worker became busy."""
LATE: Final = 2.0
"""Seconds beyond that after which its socket is given up, whatever the client's own limit (3 s where mongoq opened it).

Where one connection dies unnoticed, wake-ups fail for 7 s at most; the driver's monitor ends it sooner where the whole
server is lost, and polls and sweeps go on meanwhile."""

NO_STREAMS: Final = frozenset({20, 40573})
"""What a standalone server answers."""


def open_stream(context: Context, pipeline: Pipeline, await_seconds: float) -> Op[Any]:
    """A stream that starts now. StorageRefused with one of `NO_STREAMS` where there can be none."""
    return (yield Watch(context.tasks, pipeline, await_seconds))


def next_change(stream: Any, await_seconds: float) -> Op[Document | str | None]:
    """What has changed, as the stream's pipeline shows it; None, or `Next.ENDED`."""
    return (yield Next(stream, timedelta(seconds=await_seconds + LATE)))  # type: ignore[no-any-return]


def close_stream(stream: Any) -> Op[None]:
    """Close a stream."""
    yield Unwatch(stream)


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


def endings() -> Pipeline:
    """Which tasks finish, or go: their keys, whatever their queues."""
    done = {_updated(fields.STATE): {"$in": [state.value for state in FINISHED]}}
    ends = [done, {"operationType": {"$in": ["delete", "replace"]}}]
    return [{"$match": {"$or": ends}}, {"$project": {"documentKey": 1}}]


def _updated(field: str) -> str:
    return f"updateDescription.updatedFields.{field}"
