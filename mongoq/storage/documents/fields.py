"""The field names of a task's document; no other module spells them.

Producers in other languages write this document as docs/producers.md describes it, so fields are only ever added.
`queue`, `state`, `priority`, `run_at` and `version` are always stored, the others only when they have a value. A
document that another program wrote may lack any field but these five.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

KEY: Final = "_id"
QUEUE: Final = "queue"
NAME: Final = "name"
STATE: Final = "state"
PRIORITY: Final = "priority"
RUN_AT: Final = "run_at"
TAGS: Final = "tags"
PAYLOAD: Final = "payload"
CONTEXT: Final = "context"
CREATED_AT: Final = "created_at"
MODIFIED_AT: Final = "modified_at"
FINISHED_AT: Final = "finished_at"
EXPIRES_AT: Final = "expires_at"
PURGE_AT: Final = "purge_at"
ATTEMPTS: Final = "attempts"
UNCHARGED: Final = "uncharged"
RETRIES: Final = "retries"
POLICY: Final = "policy"
HOLD: Final = "hold"
TOKEN: Final = "hold.token"  # noqa: S105 -- the name of a field
WORKER: Final = "hold.worker"
STARTED_AT: Final = "hold.started_at"
LEASE_UNTIL: Final = "hold.until"
LAST_TOKEN: Final = "last_token"  # noqa: S105 -- the name of a field
LOST_LEASES: Final = "lost_leases"
VERSION: Final = "version"
LAST_ERROR: Final = "last_error"
ERRORS: Final = "errors"
FAILURE: Final = "failure"
RESULT: Final = "result"
NOTE: Final = "note"
PROGRESS: Final = "progress"
MOVED_FROM: Final = "moved_from"
UNIQUE: Final = "unique"
AGAIN: Final = "again"
SEALED: Final = "sealed"
CANCEL_REQUESTED: Final = "cancel_requested"
OLDEST_READER: Final = "oldest_reader"
MODIFICATION: Final = "modification"
MODIFIED_BY: Final = "modified_by"
DEPENDED: Final = "depended"
PARENTS: Final = "parents"
AFTER: Final = "after"
"""Those of its parents that have not ended, while it is parked or after it was cancelled because of one."""
ON_PARENT_FAILURE: Final = "on_parent_failure"
UNCHECKED: Final = "unchecked"
"""Since when it waits for a look at its parents."""
CHILDREN: Final = "children"
"""Whether tasks wait for its end, see `documents/flow.py`."""
BATCH: Final = "batch"
CALLBACK: Final = "callback"
"""What a task knows of the batch whose callback it is, see `documents/batches.py`."""
LIMITS: Final = "limits"
"""The limits that it is under, by name, each with its weight."""
LINE: Final = "line"
"""The group of a limit in whose strict order it stands."""
WAITS_FOR: Final = "waits_for"
"""The group of a limit that it waits for, from when it is parked until it is claimed."""
SLOTS: Final = "hold.slots"
"""The slots of limits that it has while it runs."""
KEEP: Final = "keep"
"""For how many seconds to keep it, counted from when nobody waits for it any more."""


def value_of(document: Mapping[str, Any], name: str) -> Any:
    """The value of a field, or of a field of `hold`; None where there is none."""
    outer, _, inner = name.partition(".")
    value = document.get(outer)
    return value.get(inner) if inner and isinstance(value, dict) else value


PROOFS: Final = (TOKEN, LAST_TOKEN)
"""Fields that only the holder of a task may read."""

MOST_ERRORS: Final = 10
MOST_MARKS: Final = 8
"""So many earlier modifications are recognised when they are sent again."""
