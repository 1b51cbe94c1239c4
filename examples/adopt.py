"""Move the pending jobs of a hand-made queue in MongoDB into mongoq, while old producers and workers go on.

Each batch is one transaction: a job is marked in the old collection and its task is inserted, or neither. An old worker
that claims one of the same jobs meanwhile makes the transaction start again, without that job. The key of a task comes
from its job, so that a batch whose commit was in doubt is not enqueued twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from mongoq import NewTask, Queue

Job = dict[str, Any]

PENDING: Mapping[str, Any] = {"status": "pending"}
"""The jobs that an old worker would claim."""
ADOPTED: Mapping[str, Any] = {"$set": {"status": "adopted"}}
"""How a job is marked, so that no old worker claims it any more."""


def adopt(
    jobs: Collection[Job],
    queue: Queue,
    convert: Callable[[Job], NewTask],
    *,
    pending: Mapping[str, Any] = PENDING,
    adopted: Mapping[str, Any] = ADOPTED,
    batch: int = 500,
) -> int:
    """Move all jobs that are pending now, and return how many; `queue` was made of the client of `jobs`."""

    def move(session: ClientSession) -> int:
        found = list(jobs.find(pending, session=session).limit(batch))
        if found:
            # A job that an old worker has taken since is a write conflict: `with_transaction` begins again.
            jobs.update_many({"_id": {"$in": [job["_id"] for job in found]}}, adopted, session=session)
            queue.load((convert(job) for job in found), session=session)
        return len(found)

    moved = 0
    with jobs.database.client.start_session() as session:
        while count := session.with_transaction(move):
            moved += count
    return moved
