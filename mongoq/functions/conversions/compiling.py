"""From an annotation to its conversion. What cannot be stored is refused here, when a function is defined."""

from __future__ import annotations

import collections.abc
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from mongoq.core.serial.natural import natural_or_same
from mongoq.functions.conversions import containers, records, scalars
from mongoq.functions.conversions.conversion import ANYTHING, Conversion, NoConversion, Unfit

_ARRAYS: Final[Mapping[Any, tuple[type, Any, str]]] = {
    list: (list, list, "list"),
    set: (set, (set, frozenset), "set"),
    frozenset: (frozenset, (set, frozenset), "frozenset"),
    collections.abc.Sequence: (list, (list, tuple), "list or tuple"),
    collections.abc.MutableSequence: (list, list, "list"),
    collections.abc.Collection: (list, (list, tuple, set, frozenset), "list, tuple or set"),
    collections.abc.Set: (frozenset, (set, frozenset), "set"),
}
"""By origin: what a handler gets, what a caller may give, and the word for it."""
_MAPPINGS: Final[tuple[Any, ...]] = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


class Compiler:
    """Compiles annotations, each once. A class that holds itself meets its own conversion before it is complete."""

    def __init__(self) -> None:
        self._known: dict[Any, Conversion] = {}

    def compiled(self, annotation: Any) -> Conversion:
        """The conversion of an annotation; NoConversion where its values cannot be stored."""
        try:
            known = self._known.get(annotation)
        except TypeError:  # Annotated[int, []] cannot be hashed
            if get_origin(annotation) is None:
                raise NoConversion(_why_not(annotation)) from None
            return self._compile(annotation)
        if known is None:
            known = self._known[annotation] = Conversion("", frozenset(), bool, _unready, _unready)
            try:
                made = self._compile(annotation)
            except NoConversion:
                del self._known[annotation]
                raise
            for name in Conversion.__slots__:
                setattr(known, name, getattr(made, name))
        return known

    def _compile(self, annotation: Any) -> Conversion:
        origin = get_origin(annotation)
        if annotation is Any or annotation is object:
            return scalars.anything(natural_or_same)
        if origin is Annotated or isinstance(annotation, typing.NewType) or hasattr(annotation, "__value__"):
            return self.compiled(_bare(annotation))
        if origin is Literal:
            return scalars.literal(annotation)
        if origin in (Union, types.UnionType):
            return union([self.compiled(arm) for arm in get_args(annotation)])
        if annotation is None:
            return scalars.SCALARS[type(None)]
        return self._of_class(annotation, origin or annotation)

    def _of_class(self, annotation: Any, kind: Any) -> Conversion:
        arguments = get_args(annotation)
        if kind in _ARRAYS:
            return containers.many(self.compiled(arguments[0] if arguments else Any), *_ARRAYS[kind])
        if kind is tuple:
            return self._tuple(arguments)
        if kind in _MAPPINGS:
            key, value = arguments or (Any, Any)
            accepted: Any = dict if kind is dict else collections.abc.Mapping
            return containers.mapping(containers.key_of(key), self.compiled(value), accepted)
        if kind in scalars.SCALARS:
            return scalars.SCALARS[kind]
        if isinstance(kind, type) and issubclass(kind, Enum):
            return scalars.enumerated(kind)
        if records.is_record(kind) and not (arguments and not records.is_model(annotation)):
            return records.of_record(kind, self._field)
        if isinstance(kind, type) and kind.__module__.partition(".")[0] == "bson":
            return scalars.identity(kind, f"a {kind.__name__}", kind.__name__)
        raise NoConversion(_why_not(kind))

    def _tuple(self, arguments: tuple[Any, ...]) -> Conversion:
        if not arguments or arguments[-1] is Ellipsis:
            return containers.many(self.compiled(arguments[0] if arguments else Any), tuple, tuple, "tuple")
        return containers.fixed_tuple([self.compiled(one) for one in arguments if one != ()])

    def _field(self, annotation: Any, name: str) -> Conversion:
        try:
            return self.compiled(annotation)
        except NoConversion as why:
            raise NoConversion(f"its field {name!r} is annotated {shown(annotation)}: {why}") from None


def shown(annotation: Any) -> str:
    """An annotation as its author wrote it, nearly."""
    return annotation.__qualname__ if isinstance(annotation, type) and not get_args(annotation) else repr(annotation)


def union(arms: list[Conversion]) -> Conversion:
    """The conversion of a union: the arms must be told apart by what is stored."""
    for place, one in enumerate(arms):
        for other in arms[:place]:
            if _alike(one, other) and not (one.plain and other.plain):
                raise NoConversion(f"{other.told} and {one.told} are stored alike, so that nobody can tell them apart")
    told = " or ".join(dict.fromkeys(arm.told for arm in arms))
    # The type of a datetime is that of a date as well: what is stored as itself is looked at first.
    by_type = sorted(arms, key=lambda arm: not arm.plain)

    def encode(value: Any) -> Any:
        arm = next((arm for arm in by_type if arm.accepts(value)), None)
        if arm is None:
            raise Unfit(value, told)
        return arm.encode(value)

    def decode(value: Any) -> Any:
        kind = scalars.stored_kind(value)
        fitting = [arm for arm in arms if kind in arm.kinds or ANYTHING in arm.kinds]
        if not fitting:
            raise Unfit(value, told)
        return _first(fitting, value)

    def accepts(value: Any) -> bool:
        return any(arm.accepts(value) for arm in arms)

    kinds = frozenset().union(*(arm.kinds for arm in arms))
    return Conversion(told, kinds, accepts, encode, decode, plain=all(arm.plain for arm in arms))


def _first(arms: list[Conversion], value: Any) -> Any:
    """Decode by the first arm that can: several are plain, such as two literals."""
    for arm in arms[:-1]:
        try:
            return arm.decode(value)
        except Unfit:
            continue
    return arms[-1].decode(value)


def _alike(one: Conversion, other: Conversion) -> bool:
    return bool(one.kinds & other.kinds) or ANYTHING in one.kinds or ANYTHING in other.kinds


def _bare(annotation: Any) -> Any:
    """What an annotation stands for: that of `Annotated`, a NewType or an alias."""
    if isinstance(annotation, typing.NewType):
        return annotation.__supertype__
    return annotation.__value__ if hasattr(annotation, "__value__") else annotation.__origin__


def _why_not(kind: Any) -> str:
    if isinstance(kind, typing.TypeVar):
        return "a type variable says nothing of what is stored"
    if kind in (collections.abc.Callable, Callable, type):
        return "code cannot be stored: give the name of what is meant"
    if isinstance(kind, type):
        return "a class of its own: make it a dataclass, a TypedDict, a NamedTuple or a pydantic model"
    return "mongoq knows no way to store it"


def _unready(value: Any) -> Any:
    raise Unfit(value, "converted yet")
