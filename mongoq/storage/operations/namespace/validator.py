"""Let the server refuse documents that are no tasks, or stop that.

The level is `moderate`: a foreign document that was there before may still be set aside as failed, which changes it.
"""

from __future__ import annotations

from typing import Final

from mongoq.storage.commands import Document, Op
from mongoq.storage.context import Context
from mongoq.storage.control import ChangeCollection, DescribeCollection
from mongoq.storage.documents.contract import schema

LEVEL: Final = "moderate"
_NAMES: Final = ("validator", "validationLevel", "validationAction")


def validated(context: Context, *, on: bool) -> Op[bool]:
    """Install the schema of tasks as the validator of their collection, or remove it; whether anything was changed.

    The collection exists. A validator of somebody else's takes no part in this: it is replaced, or removed.
    """
    wanted: Document = {"validator": schema.validator() if on else {}, "validationLevel": LEVEL if on else "off"}
    described: Document | None = yield DescribeCollection(context.tasks)
    options = {} if described is None else described.get("options", {})
    found = {name: options.get(name) for name in _NAMES if options.get(name)}
    if found == {**wanted, "validationAction": "error"} or not (on or found.get("validator")):
        return False
    yield ChangeCollection(context.tasks, {**wanted, "validationAction": "error"})
    return True
