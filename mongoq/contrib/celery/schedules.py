"""`crontab`, and the cron expression that it is: in place of `celery.schedules`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from mongoq import ConfigurationError, Fault
from mongoq.core.validation import shortened

__all__ = ["crontab", "expression_of"]


class Range(NamedTuple):
    """The numbers of a field, and the names of some."""

    lowest: int
    highest: int
    names: tuple[str, ...] = ()
    """That of the lowest number first."""


FIELDS: Final = {
    "minute": Range(0, 59),
    "hour": Range(0, 23),
    "day_of_month": Range(1, 31),
    "month_of_year": Range(1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    "day_of_week": Range(0, 6, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
}
"""In the order of a cron expression."""
PART: Final = re.compile(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/([1-9]\d*))?")
BOTH: Final = (
    "restricted in one of them: Celery ticks on days that are both, cron on days that are either. A first Monday is "
    "queue.schedule(name, '0 3 * * MON#1', ...)"
)


class crontab:  # noqa: N801 -- Celery's own name
    """`crontab(minute=0, hour="*/3", day_of_week="mon-fri")`, as Celery reads it; `expression` is the same for cron.

    Raises ConfigurationError where a field cannot be read, or day_of_month and day_of_week are both restricted.
    """

    def __init__(
        self,
        minute: Any = "*",
        hour: Any = "*",
        day_of_week: Any = "*",
        day_of_month: Any = "*",
        month_of_year: Any = "*",
    ) -> None:
        self.minute = _numbers("minute", minute)
        self.hour = _numbers("hour", hour)
        self.day_of_week = _numbers("day_of_week", day_of_week)
        self.day_of_month = _numbers("day_of_month", day_of_month)
        self.month_of_year = _numbers("month_of_year", month_of_year)
        self.expression = expression_of(self)
        """For `queue.schedule(name, crontab(hour=3, minute=0).expression, task)`."""

    @classmethod
    def from_string(cls, expression: str) -> crontab:
        """The crontab of a cron expression of five fields."""
        minute, hour, day_of_month, month_of_year, day_of_week = expression.split()
        return cls(minute, hour, day_of_week, day_of_month, month_of_year)

    def __repr__(self) -> str:
        return f"<crontab: {self.expression}>"


def expression_of(when: Any) -> str:
    """The cron expression of a crontab, this module's or Celery's own."""
    days, weekdays = (_field(getattr(when, name), FIELDS[name]) for name in ("day_of_month", "day_of_week"))
    if not days.startswith("*") and not weekdays.startswith("*"):
        value = f"day_of_month={days!r}, day_of_week={weekdays!r}"
        raise ConfigurationError([Fault("crontab", value, BOTH)])
    return " ".join(_field(getattr(when, name), known) for name, known in FIELDS.items())


def _field(numbers: Iterable[int], known: Range) -> str:
    """The field of these numbers: `*`, `*/5`, `8-17` or a list."""
    wanted = sorted(numbers)
    step = wanted[1] - wanted[0] if len(wanted) > 1 else known.highest
    if wanted == [*range(known.lowest, known.highest + 1, step)] and len(wanted) > 1:
        return "*" if step == 1 else f"*/{step}"
    if len(wanted) > 2 and wanted[-1] - wanted[0] == len(wanted) - 1:
        return f"{wanted[0]}-{wanted[-1]}"
    return ",".join(map(str, wanted))


def _numbers(name: str, given: Any) -> set[int]:
    known = FIELDS[name]
    try:
        found = _parsed(given, known) if isinstance(given, str) else {given} if isinstance(given, int) else set(given)
        strange = [one for one in found if isinstance(one, bool) or not known.lowest <= one <= known.highest]
    except (TypeError, ValueError):
        found, strange = set(), [given]
    if strange or not found:
        allowed = f"numbers from {known.lowest} to {known.highest}, a list of them, or text such as '*/5' or '1,3-5'"
        raise ConfigurationError([Fault(f"crontab {name}", shortened(given), allowed)])
    return found


def _parsed(text: str, known: Range) -> set[int]:
    found: set[int] = set()
    for part in text.lower().split(","):
        match = PART.fullmatch(part.strip())
        if match is None or (match[4] and not match[1] and not match[3]):
            raise ValueError(part)
        first = known.lowest if match[1] else _number(match[2], known)
        last = known.highest if match[1] else _number(match[3], known) if match[3] else first
        numbers = [*range(first, known.highest + 1), *range(known.lowest, last + 1)]  # round the end, as `fri-mon`
        numbers = [*range(first, last + 1)] if last >= first else numbers
        found |= set(numbers[:: int(match[4] or 1)])
    return found


def _number(text: str, known: Range) -> int:
    """A number, or that of a name, of which three letters count."""
    number = int(text) if text.isdigit() else known.lowest + known.names.index(text[:3])
    if not known.lowest <= number <= known.highest:
        raise ValueError(text)
    return number
