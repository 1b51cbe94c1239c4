"""Wake-ups from a change stream: they come sooner than the next poll, and never replace it.

A process watches a stream only while it is idle, because each stream costs the server CPU at every write: an insert
takes 0.45 ms without streams and 1.43 ms with fifty. The stream is opened before the claim that finds nothing, so no
task is missed in between. It is never resumed. After an error, or when it died silently (after the collection was
dropped `try_next` returns None forever), a new stream starts from now and a claim follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

from mongoq.core.lifecycle import FINISHED, TaskState
from mongoq.storage.commands import Count, Document, Op
from mongoq.storage.context import Context
from mongoq.storage.control import Next, Unwatch, Watch
from mongoq.storage.documents import fields, filters, indexes

Pipeline = list[dict[str, Any]]

AWAIT: Final = 5.0
"""Seconds that one read of the stream waits on the server: the pause of a poll.

With 2.5 s these reads were half of the commands of an idle worker. Longer reads would only keep the stream open, at a
cost for every write, after its worker has become busy."""
LATE: Final = 2.0
"""Seconds beyond `AWAIT` after which the socket is given up, whatever the client's own timeout (3 s by default).

If a connection dies unnoticed, wake-ups fail for at most 7 s, while polls and sweeps go on. If the whole server is
lost, the driver's monitor notices sooner."""

NO_STREAMS: Final = frozenset({20, 40573})
"""Error codes of a standalone server, which has no change streams."""


class News(NamedTuple):
    """A task has appeared in a state."""

    state: TaskState
    key: str
    queue: str | None
    """None where the event does not tell: an update that leaves the queue alone."""
    name: str | None = None


def open_stream(context: Context, pipeline: Pipeline, await_seconds: float) -> Op[Any]:
    """Open a stream that starts now; raises StorageRefused with a code of `NO_STREAMS` on a standalone server."""
    return (yield Watch(context.tasks, pipeline, await_seconds))


def next_change(stream: Any, await_seconds: float) -> Op[Document | str | None]:
    """Wait for the next change, as the pipeline projects it; None: no change yet, `Next.ENDED`: the stream is dead."""
    return (yield Next(stream, timedelta(seconds=await_seconds + LATE)))  # type: ignore[no-any-return]


def close_stream(stream: Any) -> Op[None]:
    """Close a stream."""
    yield Unwatch(stream)


def new_work(queues: Sequence[str], where: Mapping[str, Any] | None = None, names: Sequence[str] = ()) -> Pipeline:
    """Select the changes after which a claim of these queues may find a task: inserted, ready, moved or put off.

    The event of an update does not hold the whole task. It may belong to another queue, which costs an empty claim.
    """
    fresh = {"$in": [TaskState.READY.value, TaskState.SCHEDULED.value]}
    inserted = f"fullDocument.{fields.STATE}"
    ours = {**filters.named(queues), **filters.tagged(where), **({fields.NAME: {"$in": list(names)}} if names else {})}
    of_ours = {f"fullDocument.{name}": wanted for name, wanted in ours.items()}
    moved = {_updated(fields.QUEUE): {"$in": list(queues)}}
    put_off = {_updated(fields.RUN_AT): {"$exists": True}}
    otherwise = {"$cond": [f"${_updated(fields.QUEUE)}", TaskState.READY.value, TaskState.SCHEDULED.value]}
    return [
        {"$match": {"$or": [{inserted: fresh, **of_ours}, {_updated(fields.STATE): fresh}, moved, put_off]}},
        {
            "$project": {
                fields.STATE: {"$ifNull": [f"${inserted}", f"${_updated(fields.STATE)}", otherwise]},
                fields.QUEUE: {"$ifNull": [f"$fullDocument.{fields.QUEUE}", f"${_updated(fields.QUEUE)}"]},
                fields.NAME: f"$fullDocument.{fields.NAME}",
                "key": f"$documentKey.{fields.KEY}",
            }
        },
    ]


def news_of(change: Document | None) -> News | None:
    """What a change that `new_work` lets through tells of; None where there is none, or where a task has gone."""
    state = change.get(fields.STATE) if change else None
    if change is None or not state:
        return None
    return News(TaskState(state), str(change.get("key")), change.get(fields.QUEUE), change.get(fields.NAME))


def ready_count(context: Context, queue: str, names: Sequence[str], most: int) -> Op[int]:
    """How many tasks of a queue are ready, of these names where there are any, counted up to `most`."""
    hint = indexes.CLAIM_NAME if names else indexes.CLAIM
    count: int = yield Count(context.tasks, filters.ready([queue], names=names), hint=hint, most=most)
    return count


def endings() -> Pipeline:
    """Select the keys of tasks that finish or are deleted, in any queue."""
    done = {_updated(fields.STATE): {"$in": [state.value for state in FINISHED]}}
    ends = [done, {"operationType": {"$in": ["delete", "replace"]}}]
    return [{"$match": {"$or": ends}}, {"$project": {"documentKey": 1}}]


def _updated(field: str) -> str:
    return f"updateDescription.updatedFields.{field}"
