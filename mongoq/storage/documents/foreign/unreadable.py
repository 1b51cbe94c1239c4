"""Documents with BSON that the server stores and the driver cannot decode."""

from __future__ import annotations

from typing import Any

from mongoq.storage.documents import fields


class Unreadable(dict[str, Any]):
    """A document that the driver could not decode. Its unreadable values are bytes."""

    field: str = fields.KEY
    """The first field with such a value."""
    key: Any
    """A filter by its `_id` as it is stored; its decoded value may encode otherwise."""
