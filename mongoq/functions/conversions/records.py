"""The conversions of records: dataclasses, named tuples, TypedDicts and pydantic models are stored as documents.

Fields that a reader does not know are left out, and fields that are missing get their defaults: so a release that adds
a field with a default reads what the previous one wrote, and the other way round.
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from mongoq.core.serial.natural import natural
from mongoq.functions.conversions.containers import within
from mongoq.functions.conversions.conversion import Conversion, NoConversion, Unfit, checking, of_type

Compile = Callable[[Any, str], Conversion]
"""Compile the annotation of a field, given its name for errors."""


def is_model(kind: Any) -> bool:
    """Whether this is a pydantic model. pydantic is never imported here: whoever has a model has imported it."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(kind, type) and issubclass(kind, pydantic.BaseModel)


def hints_of(kind: Any) -> dict[str, Any]:
    """The annotations of a class, evaluated."""
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except Exception as error:  # an annotation may be any expression
        raise NoConversion(f"its annotations cannot be evaluated: {type(error).__name__}: {error}") from error


def of_dataclass(kind: Any, compiled: Compile) -> Conversion:
    """A dataclass: the fields that its constructor takes."""
    hints = hints_of(kind)
    taken = [item for item in fields(kind) if item.init]
    inner = {item.name: compiled(hints[item.name], item.name) for item in taken}
    required = {item.name for item in taken if item.default is MISSING and item.default_factory is MISSING}

    def encode(value: Any) -> Any:
        return {name: within(name, one.encode, getattr(value, name)) for name, one in inner.items()}

    return _record(kind, inner, required, encode, lambda given: kind(**given))


def of_named_tuple(kind: Any, compiled: Compile) -> Conversion:
    """A NamedTuple, by the names of its fields."""
    hints = hints_of(kind)
    inner = {name: compiled(hints.get(name, Any), name) for name in kind._fields}
    required = {name for name in kind._fields if name not in kind._field_defaults}

    def encode(value: Any) -> Any:
        return {name: within(name, one.encode, getattr(value, name)) for name, one in inner.items()}

    return _record(kind, inner, required, encode, lambda given: kind(**given))


def of_typed_dict(kind: Any, compiled: Compile) -> Conversion:
    """A TypedDict: its keys, those that are not required where they are there."""
    hints = hints_of(kind)
    inner = {name: compiled(_bare(hint), name) for name, hint in hints.items()}
    required = frozenset(name for name, hint in hints.items() if _is_required(kind, name, hint))
    told = f"a {kind.__name__}"

    def encode(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise Unfit(value, told)
        _no_others(value, inner, told)
        return _converted(value, inner, required, told, lambda one: one.encode)

    def decode(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise Unfit(value, told)
        return _converted(value, inner, required, told, lambda one: one.decode)

    return Conversion(told, frozenset({"document"}), of_type(Mapping), encode, decode)


def _is_required(kind: Any, name: str, hint: Any) -> bool:
    """Whether a key must be there. Of a module with postponed annotations the class itself does not know."""
    origin = typing.get_origin(hint)
    if origin in (typing.Required, typing.NotRequired):
        return origin is typing.Required
    return name in kind.__required_keys__


def _bare(hint: Any) -> Any:
    return hint.__args__[0] if typing.get_origin(hint) in (typing.Required, typing.NotRequired) else hint


def of_model(kind: Any) -> Conversion:
    """A pydantic model: dumped as pydantic does it, and validated when it is read."""
    told = f"a {kind.__name__}"

    def dump(value: Any) -> Any:
        return natural(value.model_dump(mode="python", by_alias=True, round_trip=True))

    encode = checking(of_type(kind), told, dump)
    decode = checking(of_type(Mapping), told, kind.model_validate)
    return Conversion(told, frozenset({"document"}), of_type(kind), encode, decode)


def is_record(kind: Any) -> bool:
    """Whether this class has a conversion of its fields."""
    named = isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")
    return (isinstance(kind, type) and is_dataclass(kind)) or named or typing.is_typeddict(kind) or is_model(kind)


def of_record(kind: Any, compiled: Compile) -> Conversion:
    """The conversion of a class for which `is_record` holds."""
    if is_model(kind):
        return of_model(kind)
    if typing.is_typeddict(kind):
        return of_typed_dict(kind, compiled)
    return of_dataclass(kind, compiled) if is_dataclass(kind) else of_named_tuple(kind, compiled)


def _record(
    kind: Any,
    inner: Mapping[str, Conversion],
    required: set[str],
    encode: Callable[[Any], Any],
    make: Callable[[dict[str, Any]], Any],
) -> Conversion:
    told, accepts = f"a {kind.__name__}", of_type(kind)

    def decode(value: Any) -> Any:
        return make(_converted(value, inner, required, told, lambda one: one.decode))

    return Conversion(
        told,
        frozenset({"document"}),
        accepts,
        checking(accepts, told, encode),
        checking(of_type(Mapping), told, decode),
    )


def _converted(
    value: Mapping[str, Any],
    inner: Mapping[str, Conversion],
    required: set[str] | frozenset[str],
    told: str,
    side: Callable[[Conversion], Callable[[Any], Any]],
) -> dict[str, Any]:
    if not required <= value.keys():
        raise Unfit(dict(value), f"{told}: it lacks {', '.join(sorted(required - value.keys()))}")
    return {name: within(name, side(one), value[name]) for name, one in inner.items() if name in value}


def _no_others(value: Mapping[str, Any], inner: Mapping[str, Conversion], told: str) -> None:
    """A misspelt key is told where it is written; where it is read, it may be of a later release."""
    unknown = sorted(map(str, value.keys() - inner.keys()))
    if unknown:
        raise Unfit(dict(value), f"{told}: it has no {', '.join(unknown)}")
