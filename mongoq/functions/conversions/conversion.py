"""What an annotation means for storage: how its values are encoded for BSON, and decoded again.

Compiled once, when a function is defined. Every conversion is strict both ways: a value of another kind raises `Unfit`,
which says where in the value, what was there and what is allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from mongoq.core.validation import shortened

Convert = Callable[[Any], Any]


class Unfit(Exception):
    """A value that a conversion does not accept."""

    def __init__(self, value: object, allowed: str, path: str = "") -> None:
        super().__init__(f"{path}: {shortened(value)} is not {allowed}")
        self.value = value
        self.allowed = allowed
        self.path = path

    def within(self, step: str) -> Unfit:
        """The same, seen from the value that holds it."""
        return Unfit(self.value, self.allowed, step + self.path)


class NoConversion(Exception):
    """An annotation whose values cannot be stored; it says why."""


@dataclass(slots=True)
class Conversion:
    """How the values of one annotation are stored."""

    told: str
    """What it accepts, in words: `an int`."""
    kinds: frozenset[str]
    """The kinds of stored values that it decodes; `ANYTHING` where it decodes all."""
    accepts: Callable[[Any], bool]
    """Whether a value of the handler's side is of its kind, told by the type alone. Unions choose by it."""
    encode: Convert
    decode: Convert
    exact: type | None = None
    """Values of exactly this type are the same on both sides, and need no call."""
    plain: bool = False
    """Whether what it decodes is what is stored."""


ANYTHING: Final = "anything"


def of_type(kind: type | tuple[type, ...], *, but: tuple[type, ...] = ()) -> Callable[[Any], bool]:
    """Whether a value is of this type, and of none of those in `but`."""
    if not but:
        return lambda value: isinstance(value, kind)
    return lambda value: isinstance(value, kind) and not isinstance(value, but)


def checking(accepts: Callable[[Any], bool], told: str, convert: Convert) -> Convert:
    """Convert what is accepted, and refuse anything else as `told` says; so also where `convert` raises."""

    def checked(value: Any) -> Any:
        if not accepts(value):
            raise Unfit(value, told)
        try:
            return convert(value)
        except Unfit:
            raise
        except Exception as error:  # a user's own class may raise anything
            raise Unfit(value, f"{told}: {type(error).__name__}: {error}") from error

    return checked
