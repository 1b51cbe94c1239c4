"""The conversions of single values.

    stored as they are      bool, int, float, str, bytes, None, UUID, aware datetime, Decimal, the types of bson
    stored as text          date, time, Path, an Enum of strings
    stored as seconds       timedelta
    stored by its value     Enum

A date is text (`2026-08-01`) and not an instant: midnight in UTC is another day in half of the world. Text sorts and
compares as dates do.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, Final, get_args

from mongoq.functions.conversions.conversion import ANYTHING, Conversion, NoConversion, Unfit, checking, of_type

STORED: Final = (bool, int, float, str, bytes, type(None))
PATHS: Final = (Path, PurePath, PurePosixPath, PureWindowsPath)


def _same(value: Any) -> Any:
    return value


def identity(kind: type, told: str, stored: str, *, but: tuple[type, ...] = ()) -> Conversion:
    """The conversion of values that are stored as they are."""
    accepts = of_type(kind, but=but)
    check = checking(accepts, told, _same)
    return Conversion(told, frozenset({stored}), accepts, check, check, kind, plain=True)


def _textual(kind: type, told: str, to_text: Callable[[Any], str], from_text: Callable[[str], Any]) -> Conversion:
    but = (datetime,) if kind is date else ()
    accepts = of_type(kind, but=but)
    decode = checking(of_type(str), f"the text of {told}", from_text)
    return Conversion(told, frozenset({"str"}), accepts, checking(accepts, told, to_text), decode)


def _float() -> Conversion:
    told, accepts = "a float", of_type((int, float))
    check = checking(accepts, told, float)
    return Conversion(told, frozenset({"float", "int"}), accepts, check, check, float, plain=True)


def _int() -> Conversion:
    told, accepts = "an int", of_type(int)

    def whole(value: Any) -> Any:
        """Accept 42.0 as well: JavaScript stores every number so."""
        if isinstance(value, float) and value.is_integer():
            return int(value)
        raise Unfit(value, told)

    decode = checking(of_type((int, float)), told, lambda value: value if isinstance(value, int) else whole(value))
    encode = checking(accepts, told, _same)
    return Conversion(told, frozenset({"int"}), accepts, encode, decode, int, plain=True)


def _instant() -> Conversion:
    told = "a datetime with a time zone"

    def aware(value: Any) -> bool:
        return isinstance(value, datetime) and value.utcoffset() is not None

    check = checking(aware, told, _same)
    return Conversion(told, frozenset({"instant"}), of_type(datetime), check, check, plain=True)


def _decimal() -> Conversion:
    told = "a Decimal"
    encode = checking(of_type(Decimal), told, _same)
    decode = checking(of_type((Decimal, int)), told, Decimal)
    return Conversion(told, frozenset({"decimal"}), of_type(Decimal), encode, decode, Decimal, plain=True)


def _duration() -> Conversion:
    told = "a timedelta"
    encode = checking(of_type(timedelta), told, timedelta.total_seconds)
    decode = checking(of_type((int, float)), f"the seconds of {told}", lambda value: timedelta(seconds=value))
    return Conversion(told, frozenset({"float", "int"}), of_type(timedelta), encode, decode)


def anything(encode: Callable[[Any], Any]) -> Conversion:
    """The conversion of values without an annotation: whatever can be stored, as it comes back from there."""
    return Conversion("a value that BSON can carry", frozenset({ANYTHING}), lambda _: True, encode, _same, plain=True)


SCALARS: Final[dict[Any, Conversion]] = {
    bool: identity(bool, "a bool", "bool"),
    int: _int(),
    float: _float(),
    str: identity(str, "a str", "str"),
    bytes: identity(bytes, "bytes", "bytes"),
    type(None): identity(type(None), "None", "null"),
    uuid.UUID: identity(uuid.UUID, "a UUID", "uuid"),
    datetime: _instant(),
    Decimal: _decimal(),
    timedelta: _duration(),
    date: _textual(date, "a date", date.isoformat, date.fromisoformat),
    time: _textual(time, "a time", time.isoformat, time.fromisoformat),
    **{kind: _textual(kind, f"a {kind.__name__}", str, kind) for kind in PATHS},
}


def stored_kind(value: object) -> str:
    """The kind of a value as it is stored, for unions to choose by."""
    if isinstance(value, bool):
        return "bool"
    names = {type(None): "null", uuid.UUID: "uuid", datetime: "instant", Decimal: "decimal", dict: "document"}
    for kind, name in {**names, int: "int", float: "float", str: "str", bytes: "bytes", list: "list"}.items():
        if isinstance(value, kind):
            return name
    return type(value).__name__


def enumerated(kind: type[Enum]) -> Conversion:
    """The conversion of an Enum: its value is stored."""
    odd = [member for member in kind if not isinstance(member.value, STORED)]
    if odd:
        raise NoConversion(f"the value of {odd[0]} is not a bool, int, float, str, bytes or None")
    told = f"a {kind.__name__}: {', '.join(repr(member.value) for member in list(kind)[:10])}"
    encode = checking(of_type(kind), told, lambda member: member.value)
    kinds = frozenset(stored_kind(member.value) for member in kind)
    return Conversion(told, kinds, of_type(kind), encode, checking(lambda _: True, told, kind))


def literal(annotation: Any) -> Conversion:
    """The conversion of `Literal[...]`."""
    values = get_args(annotation)
    if odd := [value for value in values if not isinstance(value, STORED) or isinstance(value, Enum)]:
        raise NoConversion(f"the literal {odd[0]!r} is not a bool, int, str, bytes or None")
    told = f"one of {', '.join(map(repr, values))}"
    known = {(type(value), value) for value in values}

    def accepts(value: Any) -> bool:
        return type(value) in STORED and (type(value), value) in known

    check = checking(accepts, told, _same)
    return Conversion(told, frozenset(map(stored_kind, values)), accepts, check, check, plain=True)


__all__ = ["SCALARS", "anything", "enumerated", "identity", "literal", "stored_kind"]
