"""Whether a document can be claimed: a claimed one that cannot be decoded would stop its whole queue."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from mongoq.core.serial.sealing import key_of
from mongoq.storage.commands import Document
from mongoq.storage.documents import fields, hold
from mongoq.storage.documents.foreign.unreadable import Unreadable

_TYPES: Final[Mapping[str, Any]] = {
    fields.QUEUE: str,
    fields.PRIORITY: int | float,
    fields.RUN_AT: datetime,
    fields.EXPIRES_AT: datetime,
    fields.ERRORS: list,
    fields.NAME: str,
    fields.PARENTS: list,
}
COUNTS: Final = (fields.ATTEMPTS, fields.UNCHARGED, fields.RETRIES, fields.LOST_LEASES)
_MOST: Final = 2**62
"""The server can still increment a count up to here within 64 bits."""
_USUAL: Final = frozenset({
    fields.KEY, fields.QUEUE, fields.STATE, fields.PRIORITY, fields.RUN_AT, fields.TAGS, fields.PAYLOAD,
    fields.CREATED_AT, fields.MODIFIED_AT, fields.UNIQUE, fields.NAME, fields.POLICY, fields.VERSION,
    fields.CONTEXT, fields.LIMITS, fields.LINE, fields.WAITS_FOR,
})  # fmt: skip
"""The fields of a task that was never claimed, and those that may have any value."""


def malformed_field(document: Document) -> str | None:
    """The first field that is missing or of a wrong type, or None for a well-formed document.

    Called before a claim: a claimed document that cannot be decoded would stop its whole queue. `sealed` stands for
    what is encrypted with a key that is not known here: the task is for others.
    """
    get = document.get
    if (
        type(document) is dict
        and document.keys() <= _USUAL
        and type(document[fields.KEY]) is str
        and type(get(fields.VERSION)) is type(get(fields.PRIORITY)) is int
        and type(get(fields.QUEUE)) is type(get(fields.NAME, "")) is str
        and type(get(fields.RUN_AT)) is datetime
        and 0 <= document[fields.VERSION] < _MOST
    ):
        return None
    sealed = fields.SEALED in document and unreadable_key(document) is not None
    return _malformed_field(document) or (fields.SEALED if sealed else None)


def _malformed_field(document: Document) -> str | None:
    get = document.get
    if type(document) is Unreadable:
        return document.field
    if isinstance(document[fields.KEY], dict | list):
        return fields.KEY
    if not _is_count(get(fields.VERSION)):
        return fields.VERSION
    for name in (fields.QUEUE, fields.PRIORITY, fields.RUN_AT):
        if not isinstance(get(name), _TYPES[name]):
            return name
    for name in COUNTS:
        if name in document and not _is_count(document[name]):
            return name
    for name in (fields.EXPIRES_AT, fields.ERRORS, fields.NAME, fields.PARENTS):
        if name in document and not isinstance(document[name], _TYPES[name]):
            return name
    unfit = fields.HOLD in document and not hold.well_formed(document[fields.HOLD])
    return fields.HOLD if unfit else None


def unreadable_key(document: Document) -> str | None:
    """The identifier of the key with which its payload or one of its tags is encrypted; None where none is."""
    tags = document.get(fields.TAGS)
    values = (document.get(fields.PAYLOAD), *(tags.values() if isinstance(tags, dict) else ()))
    return next((key for key in map(key_of, values) if key is not None), None)


def _is_count(value: Any) -> bool:
    """Whether the server can increment it."""
    return isinstance(value, int) and value is not True and value is not False and -_MOST < value < _MOST
