"""The plan of a modification: everything that does not depend on the tasks found, checked and encoded."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from mongoq.core.tasks.conflicts import Role
from mongoq.core.tasks.modification import Modification, TaskRef
from mongoq.core.tasks.new_task import NewTask
from mongoq.storage.commands import Document
from mongoq.storage.context import Context
from mongoq.storage.documents import encoding, fields
from mongoq.storage.documents.drafting import document_of


class Insertion(NamedTuple):
    """A task to enqueue."""

    new: NewTask
    document: Document
    body: Any
    """Its document, encoded."""

    @property
    def key(self) -> str:
        """The key, given or generated."""
        key: str = self.document[fields.KEY]
        return key


class Leaving(NamedTuple):
    """The claimed task whose ending is written together with the modification that its handler returned."""

    key: str
    token: str
    mark: str
    """The value of `last_token` that proves the ending."""


class Plan(NamedTuple):
    """A modification, checked and encoded once for all tries."""

    modification: Modification
    insertions: list[Insertion]
    now: datetime
    """The least that the server's time can be: for a lease of others that is over, and for what is due."""
    latest: datetime
    """The most that it can be: for what is delayed."""
    leaving: Leaving | None = None

    @property
    def ends_itself(self) -> bool:
        """Whether it changes or deletes the task of its own handler."""
        if self.leaving is None:
            return False
        return any(ref.key == self.leaving.key for role, ref in self.modification.named if role is not Role.DEPEND)

    @property
    def named(self) -> list[tuple[Role, TaskRef]]:
        """The tasks to read, without a dependency on the handler's own task: that one is held."""
        own = self.leaving.key if self.leaving is not None else None
        return [(role, ref) for role, ref in self.modification.named if ref.key != own or role is not Role.DEPEND]


def prepared(context: Context, modification: Modification, leaving: Leaving | None = None) -> Plan:
    """Check and encode the insertions; raises InvalidTask when one cannot be stored."""
    now = context.clock.now()
    if leaving is not None:
        modification = _proved(modification, leaving)
    insertions = []
    for new in modification.insert:
        document = document_of(context, new, now) | {fields.MODIFICATION: modification.id}
        insertions.append(Insertion(new, document, encoding.encoded(document, context.options.max_task_bytes)))
    return Plan(modification, insertions, context.clock.earliest(), context.clock.latest(), leaving)


def _proved(modification: Modification, leaving: Leaving) -> Modification:
    """Add the token of the claim wherever the handler names its own task, however it was read.

    The result gets a new `id`: the ending's mark tells a repetition here, and a handler may return one modification
    for many tasks.
    """

    def proved(ref: TaskRef) -> TaskRef:
        return replace(ref, token=leaving.token) if ref.key == leaving.key else ref

    return replace(
        modification,
        change=[replace(change, ref=proved(change.ref)) for change in modification.change],
        delete=[proved(ref) for ref in modification.delete if isinstance(ref, TaskRef)],
        id=secrets.token_hex(8),
    )
