"""Claimed tasks that are decoded by their handlers, and not by their claimer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from mongoq.core.tasks.read_only import EMPTY
from mongoq.core.tasks.reading import fill, partly_read
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import Document
from mongoq.storage.documents import fields, hold
from mongoq.storage.documents.codec import made_aware
from mongoq.storage.documents.decoding import policy_from, tags_shown, task_from
from mongoq.storage.documents.encoding import size_of
from mongoq.storage.documents.limiting import slots


class Unread:
    """A claimed task whose document is not decoded yet, but for the fields that its worker needs at once.

    The handler's thread decodes the tags, while the claimer waits for its next reply, and the rest only where the
    handler reads more than tags and key.
    """

    __slots__ = (
        "_document", "_namespace", "_read_at", "attempts", "awaited", "batch", "carried", "due", "key", "lost_leases",
        "name", "queue", "shares", "slots", "starts", "token", "unique",
    )  # fmt: skip

    def __init__(self, document: Document, namespace: str, now: datetime) -> None:
        get = document.get
        policy = get(fields.POLICY)
        self._document = document
        self._namespace = namespace
        self._read_at = now
        self.key: str = document[fields.KEY]
        self.token: str | None = hold.token(document)
        self.lost_leases: int = get(fields.LOST_LEASES, 0)
        self.attempts: int = get(fields.ATTEMPTS, 0)
        self.unique = fields.UNIQUE in document
        self.awaited = fields.CHILDREN in document
        self.batch: str | None = get(fields.BATCH)
        self.queue: str = document[fields.QUEUE]
        self.name: str | None = get(fields.NAME)
        self.due: datetime = document[fields.RUN_AT]
        limited = fields.LIMITS in document
        self.slots, self.starts, self.shares = slots.held_by(document) if limited else ((), (), False)
        self.carried: Mapping[str, Any] = policy_from(policy) if policy else EMPTY

    @property
    def parents(self) -> Sequence[str]:
        """The keys of its parents."""
        return self._document.get(fields.PARENTS) or ()

    @property
    def document(self) -> Document:
        """Its document, as it was found."""
        return self._document

    @property
    def size(self) -> int:
        """The size of its document, in bytes."""
        return size_of(self._document)

    def read(self) -> Task:
        """Decode the task: its tags now, most of it when that is read."""
        tags = self._document.get(fields.TAGS)
        return partly_read(self.key, tags_shown(made_aware(tags)), self.token, self.name, self)

    def __call__(self, task: Task) -> None:
        """Decode the rest of a task that was read, when it is asked for more than that."""
        fill(task, task_from(made_aware(self._document), self._namespace, self._read_at))
