"""The JSON schema of a task's document, and the validator that MongoDB makes of it.

It asks for what mongoq relies on and for nothing else: fields that it does not name are let through, because a newer
mongoq may have added them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from mongoq.core.lifecycle import TaskState
from mongoq.core.tasks.task import Failure
from mongoq.core.validation import QUEUE_NAME, TASK_NAME
from mongoq.storage.commands import Document
from mongoq.storage.documents import fields


class Field(NamedTuple):
    """A field of a task's document."""

    types: tuple[str, ...]
    """Names of BSON types; none: any."""
    meaning: str
    rules: Mapping[str, Any] = {}
    """Further keywords of the schema."""


_DATE: Final = ("date",)
_TEXT: Final = ("string",)
_COUNT: Final = ("int", "long")
_NUMBER: Final = ("int", "long", "double")
"""A producer in JavaScript may write any of these for a whole number."""
_OBJECT: Final = ("object",)

REQUIRED: Final = (fields.KEY, fields.QUEUE, fields.STATE, fields.PRIORITY, fields.RUN_AT, fields.VERSION)

PRODUCED: Final[Mapping[str, Field]] = {
    fields.KEY: Field(_TEXT, "its key, at most 512 characters", {"minLength": 1, "maxLength": 512}),
    fields.QUEUE: Field(
        _TEXT, "its queue; `default` where nothing else is meant", {"pattern": f"^{QUEUE_NAME.pattern}$"}
    ),
    fields.NAME: Field(
        _TEXT, "the task function that runs it, with `@` and its revision where it has one",
        {"pattern": f"^{TASK_NAME.pattern}(@[0-9]+)?$"},
    ),
    fields.STATE: Field(
        _TEXT, "`ready`, or `scheduled` where `run_at` lies ahead; the other states are written by mongoq",
        {"enum": [state.value for state in TaskState]},
    ),
    fields.PRIORITY: Field(_NUMBER, "a whole number of 64 bits; the higher is claimed first"),
    fields.RUN_AT: Field(_DATE, "not before this instant"),
    fields.VERSION: Field(_NUMBER, "1; mongoq counts it up with each change", {"minimum": 0}),
    fields.TAGS: Field(_OBJECT, "its parameters; names are `[A-Za-z][A-Za-z0-9_]*`"),
    fields.PAYLOAD: Field((), "one further value of any kind"),
    fields.CONTEXT: Field(_OBJECT, "what the handler finds as `task.context`: names and short values"),
    fields.CREATED_AT: Field(_DATE, "when it was enqueued"),
    fields.EXPIRES_AT: Field(_DATE, "it expires if it has not completed by then"),
    fields.UNIQUE: Field(_TEXT, "at most one unfinished task has this value; the server refuses another (11000)"),
    fields.LIMITS: Field(_OBJECT, "the limits that it is under, by name; each value is 1"),
    fields.POLICY: Field(_OBJECT, "options of this task, as `max_retries` and `deadline`; durations in seconds"),
}  # fmt: skip
"""The fields that a producer writes; `REQUIRED` are needed."""

WRITTEN: Final[Mapping[str, Field]] = {
    fields.MODIFIED_AT: Field(_DATE, "when it was last changed; renewals do not count"),
    fields.FINISHED_AT: Field(_DATE, "when it reached a final state"),
    fields.PURGE_AT: Field(_DATE, "when the server deletes it"),
    fields.ATTEMPTS: Field(_COUNT, "how often it was claimed"),
    fields.UNCHARGED: Field(_COUNT, "how many of these attempts were refunded"),
    fields.RETRIES: Field(_COUNT, "how many attempts failed"),
    fields.LOST_LEASES: Field(_COUNT, "how many leases in a row were lost"),
    fields.HOLD: Field(_OBJECT, "the claim: `token`, `worker`, `started_at`, `until`, and `slots` of limits"),
    fields.LAST_TOKEN: Field(_TEXT, "the token of the claim that ended last, with its ending"),
    fields.LAST_ERROR: Field(_OBJECT, "the error of the last failed attempt"),
    fields.ERRORS: Field(("array",), "the errors of the last ten failed attempts"),
    fields.FAILURE: Field(_TEXT, "why it has failed", {"enum": [failure.value for failure in Failure]}),
    fields.RESULT: Field((), "what its handler returned"),
    fields.NOTE: Field(_TEXT, "the reason that a signal gave"),
    fields.PROGRESS: Field(_OBJECT, "what its handler said of its progress, and its log lines"),
    fields.MOVED_FROM: Field(_TEXT, "the queue that it was moved from"),
    fields.AGAIN: Field(_OBJECT, "a request for one more run after this one"),
    fields.CANCEL_REQUESTED: Field(("bool",), "whether its handler is asked to stop"),
    fields.MODIFICATION: Field(_TEXT, "the atomic change that made or changed it last"),
    fields.MODIFIED_BY: Field(("array",), "the atomic changes before that one"),
    fields.SEALED: Field((), "what the codec of its queue has encrypted of it"),
    fields.PARENTS: Field((), "the tasks that it runs after"),
    fields.AFTER: Field((), "those of them that have not ended"),
    fields.ON_PARENT_FAILURE: Field(_TEXT, "what becomes of it where one of them fails"),
    fields.UNCHECKED: Field((), "whether its parents are still to be looked for"),
    fields.CHILDREN: Field((), "whether other tasks wait for its end"),
    fields.BATCH: Field((), "the batch that it is a member of"),
    fields.CALLBACK: Field((), "the batch that it is the callback of"),
    fields.LINE: Field(_TEXT, "the group of a limit in whose strict order it stands"),
    fields.WAITS_FOR: Field(_TEXT, "the group of a limit that it waits for, or waited for before it became ready"),
    fields.KEEP: Field((), "that it is kept until others have read its end"),
    fields.DEPENDED: Field(_NUMBER, "how often an atomic change has depended on it"),
}
"""The fields that mongoq writes."""


def json_schema() -> Document:
    """The schema of a task's document in MongoDB's dialect, which names types of BSON."""
    every = {**PRODUCED, **WRITTEN}
    return {
        "bsonType": "object",
        "title": "a task of mongoq",
        "required": list(REQUIRED),
        "properties": {name: _property(field) for name, field in every.items()},
    }


def _property(field: Field) -> Document:
    kinds = list(field.types)
    described: Document = {"description": field.meaning}
    if kinds:
        described["bsonType"] = kinds[0] if len(kinds) == 1 else kinds
    return {**described, **field.rules}


def validator() -> Document:
    """What MongoDB refuses documents by."""
    return {"$jsonSchema": json_schema()}
