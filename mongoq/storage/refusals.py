"""The errors of writes that an operation tells from others: the driver raises them with what the server said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

from mongoq.core.errors import MongoqError, StorageRefused
from mongoq.storage.commands import Op

T = TypeVar("T")

DUPLICATE: Final = 11000
"""The server's code where a unique index has the value already."""


class KeyTaken(StorageRefused):
    """A unique index has the value already; `field` is the first of the index's keys."""

    def __init__(self, field: str) -> None:
        own = "" if field in ("_id", "unique") else ": the collection has a unique index on it that is not mongoq's"
        super().__init__(f"{field} is taken{own}", code=DUPLICATE)
        self.field = field


class PartlyWritten(StorageRefused):
    """Some writes of a batch were refused; `errors` has each of them, by its place in the batch.

    Where the batch was in order there is one, and nothing after it was tried; else all others were written.
    `matched` is how many documents the updates among those found.
    """

    def __init__(self, errors: Mapping[int, MongoqError], matched: int = 0) -> None:
        first = next(iter(errors.values()))
        super().__init__(str(first), code=getattr(first, "code", None))
        self.errors = errors
        self.matched = matched


def if_allowed(op: Op[T], otherwise: T) -> Op[T]:
    """Run an operation; the result is `otherwise` where this user lacks the right to it."""
    try:
        return (yield from op)
    except StorageRefused as error:
        if not error.no_right:
            raise
        return otherwise
