"""Check the arguments of a call: all faults are collected, then raised as one error.

No check needs the driver, so a mistake is reported before anything is sent. The encoded size is checked in
`storage/documents/encoding.py`, because only BSON can tell it.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from mongoq.core.errors import ConfigurationError, Fault, InvalidTask
from mongoq.core.serial.natural import INT64, ITSELF, PLAIN, counterpart, is_utf8, scalar_fault

P = ParamSpec("P")
T = TypeVar("T")

Duration = timedelta | int | float
"""A `timedelta`, or a number of seconds."""

LONGEST: Final = timedelta(days=3653)
DEEPEST: Final = 32
MOST_FAULTS: Final = 20
CONTAINERS: Final = (Mapping, list, tuple)
QUEUE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}")
NAMESPACE: Final = re.compile(r"(?!system\.)(?=.{1,64}$)[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
TASK_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/-]{0,127}")
TAG_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")


class Unset(Enum):
    """The type of `UNSET`, the default of arguments for which None has a meaning."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET


def _readable(check: Callable[Concatenate[Checker, str, Any, P], T]) -> Callable[Concatenate[Checker, str, Any, P], T]:
    """Refuse a value whose own methods raise, such as `pandas.NaT`, by its field, as any other that is wrong."""

    @functools.wraps(check)
    def checked(self: Checker, field: str, value: Any, *args: P.args, **options: P.kwargs) -> T:
        try:
            return check(self, field, value, *args, **options)
        except Exception as error:  # noqa: BLE001 -- a user's own methods may raise anything
            self.refuse(field, value, f"one that can be read: its own methods raise {type(error).__name__}")
            return None  # type: ignore[return-value]

    return checked  # type: ignore[return-value]


class Checker:
    """Collects the faults of one call; `finish()` raises them all as one error.

    A check returns the value in the form that mongoq uses (a `timedelta` for a duration), or None after a fault.
    """

    def __init__(self, error: type[ConfigurationError | InvalidTask] = ConfigurationError) -> None:
        self._error = error
        self.faults: list[Fault] = []

    def refuse(self, field: str, value: object, allowed: str) -> None:
        """Add a fault: `value` is not acceptable as `field`."""
        self.faults.append(Fault(field, shortened(value), allowed))

    def finish(self) -> None:
        """Raise the faults, if there are any."""
        if self.faults:
            raise self._error(self.faults)

    @_readable
    def duration(self, field: str, value: Any, *, positive: bool = False) -> timedelta | None:
        """Check a duration: from zero, or above zero if `positive`, to ten years."""
        seconds = value.total_seconds() if isinstance(value, timedelta) else value
        if _is_number(seconds) and (seconds > 0 if positive else seconds >= 0) and seconds <= LONGEST.total_seconds():
            return timedelta(seconds=seconds)
        least = "above 0" if positive else "of 0 or more"
        self.refuse(field, value, f"a timedelta or a number of seconds {least}, at most 10 years")
        return None

    @_readable
    def integer(self, field: str, value: Any, least: int, most: int) -> int | None:
        """Check an integer within bounds; True and False are not accepted."""
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.refuse(field, value, f"an integer from {least} to {most}")
        return None

    def priority(self, field: str, value: Any) -> None:
        """Check an integer of 64 bits."""
        self.integer(field, value, INT64.start, INT64.stop - 1)

    @_readable
    def instant(self, field: str, value: Any) -> datetime | None:
        """Check an instant with a time zone; return it in UTC and whole milliseconds, as MongoDB stores it."""
        if isinstance(value, datetime) and value.utcoffset() is not None:
            try:
                return whole_milliseconds(value.astimezone(UTC))
            except OverflowError:
                pass
        self.refuse(field, value, "a datetime with a time zone, such as datetime.now(timezone.utc)")
        return None

    def matching(self, field: str, value: Any, pattern: re.Pattern[str]) -> None:
        """Check a name against the whole of `pattern`."""
        if not (isinstance(value, str) and pattern.fullmatch(value)):
            self.refuse(field, value, f"a name that matches {pattern.pattern}")

    def text(self, field: str, value: Any, longest: int) -> None:
        """Check a string of 1 to `longest` characters of valid UTF-8."""
        if not (isinstance(value, str) and 0 < len(value) <= longest and "\0" not in value and is_utf8(value)):
            self.refuse(field, value, f"a string of 1 to {longest} characters of valid UTF-8, without NUL")

    def one_of(self, field: str, value: Any, allowed: Sequence[str]) -> None:
        """Check one of a few words; a near miss gets a suggestion."""
        if not isinstance(value, str) or value not in allowed:
            self.refuse(field, value, f"one of {', '.join(allowed)}{did_you_mean(value, allowed)}")

    @_readable
    def tags(self, field: str, value: Any) -> None:
        """Check a mapping of tag names to values that BSON can carry and a filter can match."""
        if not isinstance(value, Mapping):
            self.refuse(field, value, 'a mapping of tag names to values, such as {"user": 42}')
            return
        for name, inner in value.items():
            if not (isinstance(name, str) and TAG_NAME.fullmatch(name)):
                self.refuse(f"{field} name", name, f"a name that matches {TAG_NAME.pattern}")
            elif not _is_plain(inner):
                self.value(f"{field}.{name}", inner, operators=False, depth=2)

    @_readable
    def value(self, field: str, value: Any, *, operators: bool = True, depth: int = 1) -> None:
        """Check a value that BSON can carry; `operators=False` also refuses names that a filter would misread."""
        if len(self.faults) >= MOST_FAULTS:
            return  # enough faults; a list that contains itself twice would have 2 ** 32 values
        if _is_plain(value):
            return
        if isinstance(value, CONTAINERS):
            if depth > DEEPEST:
                self.refuse(field, "...", f"nested at most {DEEPEST} levels deep")
            elif isinstance(value, Mapping):
                self._mapping(field, value, operators, depth)
            else:
                for index, inner in enumerate(value):
                    self.value(f"{field}[{index}]", inner, operators=operators, depth=depth + 1)
            return
        fault = scalar_fault(value)
        other = counterpart(value) if fault and depth <= DEEPEST else ITSELF
        if other is not ITSELF:
            self.value(field, other, operators=operators, depth=depth + 1)
        elif fault:
            self.refuse(field, value, fault)

    def _mapping(self, field: str, value: Mapping[Any, Any], operators: bool, depth: int) -> None:
        for name, inner in value.items():
            if not isinstance(name, str) or "\0" in name or not is_utf8(name):
                self.refuse(f"{field} name", name, "a string of valid UTF-8, without NUL")
            elif not operators and (not name or name.startswith("$") or "." in name):
                self.refuse(f"{field} name", name, "a name that is not empty, starts with no $ and holds no dot")
            else:
                self.value(f"{field}.{name}", inner, operators=operators, depth=depth + 1)


def shortened(value: object, longest: int = 80) -> str:
    """The `repr` of any value, at most `longest` characters."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 -- a user's own __repr__ may raise anything
        text = f"<{type(value).__name__}>"
    return text if len(text) <= longest else text[: longest - 3] + "..."


def all_unset(values: tuple[Any, ...]) -> bool:
    """Whether each of these is UNSET, in 0.1 µs, whatever a value's own methods do."""
    try:
        return values.count(UNSET) == len(values)
    except Exception:  # noqa: BLE001 -- the value is refused by its field
        return False


def did_you_mean(word: object, known: Sequence[str]) -> str:
    """A suggestion to append to an error message; empty without a similar word."""
    # Longer words are not misspellings, and difflib takes seconds for a megabyte.
    close = difflib.get_close_matches(word, known, n=1) if isinstance(word, str) and len(word) < 80 else []
    return f"; did you mean {close[0]!r}?" if close else ""


def suggesting(function: Callable[P, T]) -> Callable[P, T]:
    """Let calls of `function` with a misspelt keyword raise a TypeError that suggests the right one."""
    known = dict.fromkeys(inspect.signature(function).parameters).keys()

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        if not kwargs.keys() <= known:
            word = min(kwargs.keys() - known)
            where = function.__qualname__.removesuffix(".__init__")
            raise TypeError(f"{where}() has no option {word!r}{did_you_mean(word, list(known))}")
        return function(*args, **kwargs)

    return call


def whole_milliseconds(instant: datetime) -> datetime:
    """Cut to whole milliseconds, as MongoDB stores them, so that a value read back equals the one written."""
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def _is_plain(value: Any) -> bool:
    """Whether a value is of a common acceptable kind, at a tenth of the cost of the full check."""
    kind = type(value)
    if kind is str:
        return bool(value.isascii())
    if kind is int:
        return bool(-(2**63) <= value < 2**63)
    return kind in PLAIN


def _is_number(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)
