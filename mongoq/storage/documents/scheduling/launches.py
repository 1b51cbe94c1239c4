"""How the drafts of a tick and the mark of their launch are stored: see `storage/operations/schedules/launch`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from mongoq.core.lifecycle import TaskState
from mongoq.storage.commands import Document, Filter, Update
from mongoq.storage.documents import fields

LAUNCH: Final = "launch"
"""Of a draft, its token; of a schedule, the mark."""
DRAFT: Final = "draft"
"""In place of a state: nothing claims, sweeps, counts or shows it."""
KEPT: Final = timedelta(days=1)
"""So long after its insert the server deletes a draft that was never launched."""
DRAFTED: Final = (LAUNCH, fields.RUN_AT)


class Draft(NamedTuple):
    """A task that is not launched yet."""

    key: str
    token: str
    run_at: datetime


class Standing(NamedTuple):
    """Where a schedule stands after a tick."""

    last_at: datetime | None
    """The last tick that was enqueued; None: none was, and the earlier one stays."""
    last_key: str | None
    next_at: datetime | None
    skipped: int = 0


class Launch(NamedTuple):
    """The drafts that are to be launched for one schedule, and where it stands afterwards."""

    id: str
    drafts: Sequence[Draft]
    after: Standing


def as_draft(document: Document, token: str, now: datetime) -> Document:
    """The document of a task, as a draft."""
    return {**document, fields.STATE: DRAFT, LAUNCH: token, fields.PURGE_AT: now + KEPT}


def draft_of(document: Document) -> Draft | None:
    """The draft in a document that was read; None where it is a task."""
    token = document.get(LAUNCH)
    return Draft(document[fields.KEY], token, document[fields.RUN_AT]) if isinstance(token, str) else None


def drafted(draft: Draft) -> Filter:
    """This draft, while it is not launched."""
    return {fields.KEY: {"$eq": draft.key}, LAUNCH: {"$eq": draft.token}}


def launched(draft: Draft, now: datetime) -> Update:
    """Make a draft a task."""
    state = TaskState.READY if draft.run_at <= now else TaskState.SCHEDULED
    return {"$set": {fields.STATE: state.value}, "$unset": {LAUNCH: "", fields.PURGE_AT: ""}}


def marked(one: Launch) -> Update:
    """Mark a schedule with its launch."""
    drafts = [draft._asdict() for draft in one.drafts]
    mark = {"id": one.id, "drafts": drafts, "after": one.after._asdict()}
    return {"$set": {LAUNCH: mark}, "$inc": {fields.VERSION: 1}}


def launch_of(document: Document) -> Launch | None:
    """The launch that a schedule is marked with; None where it is not."""
    mark: Any = document.get(LAUNCH)
    if mark is None:
        return None
    return Launch(mark["id"], [Draft(**draft) for draft in mark["drafts"]], Standing(**mark["after"]))


def still_marked(name: str, one: Launch) -> Filter:
    """This schedule, while it is marked with this launch."""
    return {fields.KEY: {"$eq": name}, f"{LAUNCH}.id": {"$eq": one.id}}
