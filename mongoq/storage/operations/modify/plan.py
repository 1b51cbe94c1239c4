"""A modification, prepared: checked, encoded, and complete but for what is found."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from mongoq.core.errors import Role
from mongoq.core.modification import Modification, TaskRef
from mongoq.core.new_task import NewTask
from mongoq.storage.commands import Document
from mongoq.storage.context import Context
from mongoq.storage.documents import encoding, fields
from mongoq.storage.operations.enqueue import document_of


class Insertion(NamedTuple):
    """A task to be made."""

    new: NewTask
    document: Document
    body: Any
    """The document as it is sent."""

    @property
    def key(self) -> str:
        """Its key, given or generated."""
        key: str = self.document[fields.KEY]
        return key


class Leaving(NamedTuple):
    """The task whose handler asked for a modification, and gives it up by it."""

    key: str
    token: str
    mark: str
    """What the acceptance of its ending leaves in the document."""


class Plan(NamedTuple):
    """A modification, prepared: what does not depend on what is found."""

    modification: Modification
    insertions: list[Insertion]
    now: datetime
    """The least that the server's time can be: for a lease of others that is over, and for what is due."""
    latest: datetime
    """The most that it can be: for what is delayed."""
    leaving: Leaving | None = None

    @property
    def ends_itself(self) -> bool:
        """Whether it says what becomes of the task whose handler asked for it."""
        if self.leaving is None:
            return False
        return any(ref.key == self.leaving.key for role, ref in self.modification.named if role is not Role.DEPEND)

    @property
    def named(self) -> list[tuple[Role, TaskRef]]:
        """The tasks to look for. One that its handler leaves by it need not be depended on: it is held."""
        own = self.leaving.key if self.leaving is not None else None
        return [(role, ref) for role, ref in self.modification.named if ref.key != own or role is not Role.DEPEND]


def prepared(context: Context, modification: Modification, leaving: Leaving | None = None) -> Plan:
    """Check and encode what is to be inserted, once for all tries; InvalidTask where it cannot be stored."""
    now = context.clock.now()
    if leaving is not None:
        modification = _proved(modification, leaving)
    insertions = []
    for new in modification.insert:
        document = document_of(context, new, now) | {fields.MODIFICATION: modification.id}
        insertions.append(Insertion(new, document, encoding.encoded(document, context.options.max_task_bytes)))
    return Plan(modification, insertions, context.clock.earliest(), context.clock.latest(), leaving)


def _proved(modification: Modification, leaving: Leaving) -> Modification:
    """The same with the proof of the claim wherever the handler names its own task, however it has read it.

    Under a mark of its own: here the ending's mark tells a repetition, and one value may follow many tasks.
    """

    def proved(ref: TaskRef) -> TaskRef:
        return replace(ref, token=leaving.token) if ref.key == leaving.key else ref

    return replace(
        modification,
        change=[replace(change, ref=proved(change.ref)) for change in modification.change],
        delete=[proved(ref) for ref in modification.delete if isinstance(ref, TaskRef)],
        id=secrets.token_hex(8),
    )
