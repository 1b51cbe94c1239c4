"""The order of keys: mongoq's own are strings, those of foreign producers may be of any type.

`$gt` compares with values of the same type alone, so a list that goes on after a key names the types behind it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from mongoq.storage.commands import Filter
from mongoq.storage.documents import fields

TYPES: Final = ("number", "string", "object", "binData", "objectId", "bool", "date")
"""The types that a key may have, in the server's order."""
_PLACES: Final[tuple[tuple[type, str], ...]] = (
    (bool, "bool"), (int, "number"), (float, "number"), (str, "string"), (dict, "object"), (bytes, "binData"),
    (datetime, "date"),
)  # fmt: skip
_NAMED: Final = {"Decimal": "number", "Decimal128": "number", "ObjectId": "objectId", "UUID": "binData"}


def after(key: Any) -> Filter:
    """The tasks whose keys come after this one; the server reads them in one scan of its index."""
    named = next((name for kind, name in _PLACES if isinstance(key, kind)), _NAMED.get(type(key).__name__, "date"))
    later = TYPES[TYPES.index(named) + 1 :]
    return {"$or": [{fields.KEY: {"$gt": key}}, *({fields.KEY: {"$type": name}} for name in later)]}
