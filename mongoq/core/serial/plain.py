"""Values that BSON carries as values that JSON carries, and back.

What JSON has no type for is written as in MongoDB's Extended JSON: `{"$date": "2030-01-01T00:00:00Z"}`, and so on for
`$oid`, `$uuid`, `$binary`, `$numberDecimal` and `$numberDouble` (NaN and the infinities). A document of a user's that
looks like one of these is wrapped as `{"$literal": ...}`.
"""

from __future__ import annotations

import base64
import math
import sys
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from mongoq.core.errors import Fault, InvalidTask
from mongoq.core.validation import shortened

MARK: Final = "$"


def to_plain(value: Any, path: str) -> Any:
    """The value in JSON's types; raises InvalidTask with the path of one that has no form there."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str | int):
        return str(value) if isinstance(value, str) else int(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else _marked("numberDouble", _NUMBERS[repr(value)])
    if isinstance(value, Mapping):
        inner = {str(name): to_plain(one, f"{path}.{name}") for name, one in value.items()}
        return _marked("literal", inner) if _kind(value) else inner
    if isinstance(value, list | tuple):
        return [to_plain(one, f"{path}[{place}]") for place, one in enumerate(value)]
    return _special(value, path)


def from_plain(value: Any) -> Any:
    """The value that `to_plain` was given."""
    if isinstance(value, Mapping):
        kind = _kind(value)
        if kind is not None:
            return _RESTORED[kind](value[MARK + kind])
        return {name: from_plain(one) for name, one in value.items()}
    return [from_plain(one) for one in value] if isinstance(value, list) else value


def instant(value: datetime | None) -> str | None:
    """An instant as text, ISO 8601 in UTC."""
    return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _special(value: Any, path: str) -> dict[str, Any]:
    if isinstance(value, datetime):
        return _marked("date", instant(value))
    if isinstance(value, bytes):
        kind = int(getattr(value, "subtype", 0))
        return _marked("binary", {"base64": base64.b64encode(value).decode(), "subType": f"{kind:02x}"})
    if isinstance(value, uuid.UUID):
        return _marked("uuid", str(value))
    name = _OF_BSON.get(type(value).__name__) if type(value).__module__.startswith("bson") else None
    if name is None:
        raise InvalidTask([Fault(path, shortened(value), f"a value with a form in JSON ({type(value).__name__})")])
    return _marked(name, str(value))


def _marked(kind: str, value: Any) -> dict[str, Any]:
    return {MARK + kind: value}


def _kind(value: Mapping[Any, Any]) -> str | None:
    """What a document stands for, such as `date`; None: itself."""
    name = next(iter(value)) if len(value) == 1 else None
    return name[1:] if isinstance(name, str) and name[:1] == MARK and name[1:] in _RESTORED else None


def _binary(inner: Mapping[str, str]) -> bytes:
    data, kind = base64.b64decode(inner["base64"]), int(inner["subType"], 16)
    made: bytes = _bson("Binary")(data, kind) if kind else data
    return made


def _object_id(text: str) -> Any:
    return _bson("ObjectId")(text)


def _decimal(text: str) -> Any:
    return _bson("Decimal128")(text)


def _bson(name: str) -> Any:
    """A class of the driver's, which is loaded wherever there is a queue; this floor does not import it."""
    return getattr(sys.modules["bson"], name)


_NUMBERS: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_OF_BSON: Final = {"ObjectId": "oid", "Decimal128": "numberDecimal"}
_RESTORED: Final[Mapping[str, Callable[[Any], Any]]] = {
    "date": datetime.fromisoformat,
    "binary": _binary,
    "uuid": uuid.UUID,
    "oid": _object_id,
    "numberDecimal": _decimal,
    "numberDouble": float,
    "literal": lambda inner: {name: from_plain(one) for name, one in inner.items()},
}
