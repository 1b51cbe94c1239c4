"""Encode what an attempt says of its progress, and decode it.

Writes may arrive out of order: one that was given up and sent again may be delivered behind a newer one. Each carries
a number, which grows from attempt to attempt and within each, and is refused where the document has one as high.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from mongoq.core.tasks.progress import LogLine, TaskProgress, Unwritten
from mongoq.core.validation import whole_milliseconds
from mongoq.storage.commands import Document, Filter
from mongoq.storage.documents import fields

MESSAGE, LOG = "message", "log"
_VALUE, _AT, _NUMBER, _TEXT = "value", "at", "n", "text"
_BITS: Final = 32
_IN_ONE_ATTEMPT: Final = 2**_BITS


def older(unwritten: Unwritten, attempt: int) -> Filter:
    """Tasks that have nothing as new as this. Beside a guard by token."""
    return {f"{fields.PROGRESS}.{_NUMBER}": {"$not": {"$gte": _number(unwritten, attempt)}}}


def written(unwritten: Unwritten, attempt: int, now: datetime) -> Document:
    """The fields to set."""
    said: Document = {_NUMBER: _number(unwritten, attempt), _AT: now}
    for name, value in ((_VALUE, unwritten.value), (MESSAGE, unwritten.message)):
        if value is not None:
            said[name] = value
    if unwritten.lines is not None:
        said[LOG] = [
            {_AT: whole_milliseconds(now - timedelta(seconds=ago)), _TEXT: text} for ago, text in unwritten.lines
        ]
    if unwritten.whole:
        return {fields.PROGRESS: said}
    return {f"{fields.PROGRESS}.{name}": value for name, value in said.items()}


def read(document: Any) -> TaskProgress | None:
    """What a document says, as far as it can be read; None where it says nothing."""
    if not isinstance(document, Mapping):
        return None
    value, message, at, number = (document.get(name) for name in (_VALUE, MESSAGE, _AT, _NUMBER))
    if not isinstance(at, datetime):
        return None
    found = document.get(LOG)
    return TaskProgress(
        float(value) if isinstance(value, int | float) else None,
        message if isinstance(message, str) else None,
        at,
        number >> _BITS if isinstance(number, int) else 0,
        tuple(filter(None, map(_line, found))) if isinstance(found, list) else (),
    )


def _line(document: Any) -> LogLine | None:
    if not isinstance(document, Mapping) or not isinstance(document.get(_AT), datetime):
        return None
    return LogLine(document[_AT], str(document.get(_TEXT, "")))


def _number(unwritten: Unwritten, attempt: int) -> int:
    return min(attempt, 2**30) * _IN_ONE_ATTEMPT + min(unwritten.number, _IN_ONE_ATTEMPT - 1)
