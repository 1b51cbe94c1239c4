"""What BSON carries, and what it carries in place of a value of another type, where no annotation says more.

    date, time          text: `2026-08-01`, `09:30:00`
    timedelta           seconds
    Enum                its value
    Path                text
    set, frozenset      a list, in an order that is always the same
    dataclass           a document of its fields
    pydantic model      a document, as it dumps itself

So for tags, payloads and results. Such a value is read back as what is stored. `Decimal` comes back as `Decimal`.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final

PLAIN: Final = (bool, float, bytes, uuid.UUID, type(None))
INT64: Final = range(-(2**63), 2**63)
ITSELF: Final = object()
_BY_TYPE: Final[tuple[tuple[Any, Callable[[Any], Any]], ...]] = (
    (Enum, lambda value: value.value),
    (datetime, lambda _: ITSELF),
    (date, date.isoformat),
    (time, time.isoformat),
    (timedelta, timedelta.total_seconds),
    (PurePath, str),
    (set | frozenset, lambda value: in_order([natural(one) for one in value])),
)


def counterpart(value: Any) -> Any:
    """What is stored in place of this value, its inner values as they are; ITSELF: the value itself."""
    for kind, convert in _BY_TYPE:
        if isinstance(value, kind):
            return convert(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: getattr(value, item.name) for item in fields(value)}
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and isinstance(value, pydantic.BaseModel):
        return value.model_dump(mode="python", by_alias=True, round_trip=True)
    return ITSELF


def natural(value: Any, depth: int = 0) -> Any:
    """The value with everything in it as BSON carries it; what BSON cannot carry is left, for a check to refuse."""
    kind = type(value)
    if kind in _AS_IS or depth > _DEEPEST:
        return value
    if isinstance(value, Mapping):
        return {name: natural(inner, depth + 1) for name, inner in value.items()}
    if kind is list or kind is tuple:
        return [natural(inner, depth + 1) for inner in value]
    other = counterpart(value)
    return value if other is ITSELF else natural(other, depth + 1)


def natural_or_same(value: Any) -> Any:
    """As `natural`; a value whose own methods raise is left as it is, for a check to refuse."""
    try:
        return natural(value)
    except Exception:  # noqa: BLE001 -- a user's own methods may raise anything
        return value


def in_order(values: list[Any]) -> list[Any]:
    """The elements of a set in an order that is always the same, so that equal sets are stored alike."""
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=lambda value: (type(value).__name__, repr(value)))


def scalar_fault(value: object) -> str | None:
    """What is accepted instead of this scalar value; None: the value is acceptable."""
    if isinstance(value, PLAIN):
        return None
    if isinstance(value, str):
        return None if is_utf8(value) else "valid UTF-8: it holds a lone surrogate"
    if isinstance(value, int):
        # Not `in INT64`: for a subclass of int, such as bson's Int64, a range would count through 2 ** 64 numbers.
        return None if INT64.start <= value < INT64.stop else "an integer of 64 bits"
    if isinstance(value, datetime):
        return None if value.utcoffset() is not None else "a datetime with a time zone"
    if isinstance(value, Decimal):
        return (
            None if _fits_decimal128(value) else "a Decimal of at most 34 digits, with an exponent that BSON can carry"
        )
    if type(value).__module__.startswith("bson"):
        return None
    return f"a value that BSON can carry ({type(value).__name__} is none)"


def is_utf8(value: str) -> bool:
    """Whether a string can be encoded: it holds no lone surrogate."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fits_decimal128(value: Decimal) -> bool:
    """Whether MongoDB stores it without a loss; special values, such as NaN, it does."""
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        return True
    return len(digits) <= 34 and exponent >= -6176 and exponent + len(digits) <= 6145 and exponent <= 6111


_AS_IS: Final = frozenset({int, str, float, bool, bytes, type(None), datetime})
_DEEPEST: Final = 40
"""More than a check accepts."""
