"""The conversions of lists, tuples, sets and mappings: element by element."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import date
from enum import Enum
from typing import Any, Final

from mongoq.core.serial.natural import in_order
from mongoq.functions.conversions.conversion import Conversion, Convert, NoConversion, Unfit, of_type
from mongoq.functions.conversions.scalars import SCALARS, enumerated

ARRAYS: Final = (list, tuple)


def each(convert: Convert, values: Any) -> list[Any]:
    """Convert the elements of an array; what is unfit says its place."""
    converted: list[Any] = []
    try:
        for value in values:
            converted.append(convert(value))  # noqa: PERF401 -- the place of the one that is unfit is its length
    except Unfit as unfit:
        raise unfit.within(f"[{len(converted)}]") from unfit.__cause__
    return converted


def many(inner: Conversion, make: type, accepted: type | tuple[type, ...], word: str) -> Conversion:
    """Any number of elements of one kind; `make` is the type that the handler gets."""
    told, accepts = f"a {word}", of_type(accepted, but=(str, bytes))
    ordered = make not in (set, frozenset)

    def encode(value: Any) -> Any:
        if not accepts(value):
            raise Unfit(value, told)
        converted = each(inner.encode, value)
        return converted if ordered else in_order(converted)

    def decode(value: Any) -> Any:
        if not isinstance(value, ARRAYS):
            raise Unfit(value, told)
        converted = each(inner.decode, value)
        try:
            return converted if make is list else make(converted)
        except TypeError as error:  # elements that cannot be hashed
            raise Unfit(value, f"{told}: {error}") from error

    return Conversion(told, frozenset({"list"}), accepts, encode, decode)


def fixed_tuple(inner: list[Conversion]) -> Conversion:
    """A tuple with one conversion for each of its places."""
    told, accepts = f"a tuple of {len(inner)}", of_type(tuple)

    def converted(value: Any, side: Callable[[Conversion], Convert]) -> list[Any]:
        if len(value) != len(inner):
            raise Unfit(value, told)
        result = []
        for place, (one, element) in enumerate(zip(inner, value, strict=True)):
            try:
                result.append(side(one)(element))
            except Unfit as unfit:
                raise unfit.within(f"[{place}]") from unfit.__cause__
        return result

    def encode(value: Any) -> Any:
        if not isinstance(value, tuple):
            raise Unfit(value, told)
        return converted(value, lambda one: one.encode)

    def decode(value: Any) -> Any:
        if not isinstance(value, ARRAYS):
            raise Unfit(value, told)
        return tuple(converted(value, lambda one: one.decode))

    return Conversion(told, frozenset({"list"}), accepts, encode, decode)


def mapping(key: tuple[Convert, Convert], inner: Conversion, accepted: Any) -> Conversion:
    """A mapping; its keys are text in BSON."""
    told, accepts = "a dict", of_type(accepted)
    encode_key, decode_key = key

    def encode(value: Any) -> Any:
        if not isinstance(value, accepted):
            raise Unfit(value, told)
        return {encode_key(name): within(name, inner.encode, element) for name, element in value.items()}

    def decode(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Unfit(value, told)
        return {decode_key(name): within(name, inner.decode, element) for name, element in value.items()}

    return Conversion(told, frozenset({"document"}), accepts, encode, decode)


def within(name: object, convert: Convert, value: Any) -> Any:
    """Convert one value of a mapping or of a record; what is unfit says its name."""
    try:
        return convert(value)
    except Unfit as unfit:
        raise unfit.within(f".{name}") from unfit.__cause__


def key_of(kind: Any) -> tuple[Convert, Convert]:
    """How the keys of a mapping become text, and what they were."""
    if kind is Any or kind is str:
        check = SCALARS[str].encode
        return check, check
    if kind in (int, uuid.UUID, date):
        return _as_text(SCALARS[kind], kind if kind is not date else date.fromisoformat)
    if isinstance(kind, type) and issubclass(kind, Enum) and all(isinstance(member.value, str) for member in kind):
        conversion = enumerated(kind)
        return conversion.encode, conversion.decode
    raise NoConversion("keys of a dict can be str, int, UUID, date or an Enum of strings")


def _as_text(conversion: Conversion, parse: Callable[[str], Any]) -> tuple[Convert, Convert]:
    def decode(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise Unfit(text, f"the text of {conversion.told}") from error

    return lambda value: str(conversion.encode(value)), decode
