"""What is told of a task whose key or `unique` value is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeGuard

from mongoq.core.errors import DuplicateTask, MongoqError
from mongoq.storage.documents import fields
from mongoq.storage.refusals import KeyTaken

if TYPE_CHECKING:
    from mongoq.storage.documents.drafting import Draft

_SKIP: Final = '; on_conflict="skip" returns it instead'


def is_taken(error: MongoqError) -> TypeGuard[KeyTaken]:
    """Whether it is a taken key or `unique` value; a unique index on any other field is the user's own."""
    return isinstance(error, KeyTaken) and error.field in (fields.KEY, fields.UNIQUE)


def duplicate(one: Draft, *, by_unique: bool) -> DuplicateTask:
    """The error that names the taken key or `unique` value."""
    if by_unique:
        unique = one.options.unique
        return DuplicateTask(f"unique: an unfinished task has {unique!r} already{_SKIP}", unique=unique)
    return DuplicateTask(f"key: a task has {one.key!r} already{_SKIP}", key=one.key)


def told(one: Draft, error: MongoqError) -> MongoqError:
    """Translate a taken key into the error of the public API."""
    if not is_taken(error):
        return error
    told = duplicate(one, by_unique=took_unique(error))
    told.__cause__ = error
    return told


def took_unique(taken: KeyTaken) -> bool:
    """Whether it is the `unique` value that was taken."""
    return taken.field == fields.UNIQUE
