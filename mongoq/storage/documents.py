"""The document of a task: the only place that writes the names of its fields.

The shape is documented in the README ("The document") for producers in other languages, so it only grows.
`queue`, `state`, `priority`, `run_at` and `version` are always stored, other fields only where they say
something. A document that somebody else wrote may lack anything but these.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from mongoq.backoff import Backoff, as_spec
from mongoq.checks import whole_milliseconds
from mongoq.lifecycle import TaskState
from mongoq.model import TaskError
from mongoq.new_task import NewTask
from mongoq.storage.commands import Document

KEY: Final = "_id"
QUEUE: Final = "queue"
STATE: Final = "state"
PRIORITY: Final = "priority"
RUN_AT: Final = "run_at"
TAGS: Final = "tags"
PAYLOAD: Final = "payload"
CREATED_AT: Final = "created_at"
MODIFIED_AT: Final = "modified_at"
STARTED_AT: Final = "started_at"
FINISHED_AT: Final = "finished_at"
EXPIRES_AT: Final = "expires_at"
PURGE_AT: Final = "purge_at"
ATTEMPTS: Final = "attempts"
UNCHARGED: Final = "uncharged"
RETRIES: Final = "retries"
POLICY: Final = "policy"
TOKEN: Final = "token"  # noqa: S105 -- the name of a field
LAST_TOKEN: Final = "last_token"  # noqa: S105 -- the name of a field
WORKER: Final = "worker"
LEASE_UNTIL: Final = "lease_until"
SUSPECT: Final = "suspect"
VERSION: Final = "version"
LAST_ERROR: Final = "last_error"
ERRORS: Final = "errors"
RESULT: Final = "result"
NOTE: Final = "note"
MOVED_FROM: Final = "moved_from"
UNIQUE: Final = "unique"
CANCEL_REQUESTED: Final = "cancel_requested"
MODIFICATION: Final = "modification"
DEPENDED: Final = "depended"

PROOFS: Final = (TOKEN, LAST_TOKEN)
"""What only the holder of a task may see."""

MOST_ERRORS: Final = 10


def model_document(new: NewTask, now: datetime, carried: Mapping[str, Any], expires_at: datetime | None) -> Document:
    """The document of a task that is enqueued at `now` with these options, but for its key and its tags."""
    run_at = new.run_at or now
    if new.delay is not None:
        delay = new.delay if isinstance(new.delay, timedelta) else timedelta(seconds=new.delay)
        run_at = whole_milliseconds(now + delay)
    due = run_at <= now
    document: Document = {
        QUEUE: new.queue,
        STATE: TaskState.READY.value if due else TaskState.SCHEDULED.value,
        PRIORITY: new.priority,
        RUN_AT: run_at,
        CREATED_AT: now,
        MODIFIED_AT: now,
        VERSION: 1,
    }
    for name, value in ((PAYLOAD, new.payload), (EXPIRES_AT, expires_at), (UNIQUE, new.unique)):
        if value is not None:
            document[name] = value
    if carried:
        document[POLICY] = policy_document(carried)
    return document


def new_document(model: Document, key: str, tags: Mapping[str, Any]) -> Document:
    """The document of one task made after a model."""
    return {KEY: key, TAGS: tags, **model}


def policy_document(carried: Mapping[str, Any]) -> Document:
    """What a task carries of a policy, as plain values: durations in seconds."""
    return {name: _plain(value) for name, value in carried.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return as_spec(value) if isinstance(value, Backoff) else value


def error_document(error: TaskError) -> Document:
    """One error as it is stored."""
    return {
        "type": error.type, "message": error.message, "traceback": error.traceback,
        "at": error.at, "attempt": error.attempt, "worker": error.worker,
    }  # fmt: skip
