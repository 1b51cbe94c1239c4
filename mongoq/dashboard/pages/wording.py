"""Words and numbers for people: how long, how long ago, how many."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mongoq.core.explaining.options import option_in_words

UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def span(length: timedelta | float | None) -> str:
    """A duration in its two largest units: `2 h 5 min`."""
    if length is None:
        return "-"
    seconds = length.total_seconds() if isinstance(length, timedelta) else float(length)
    if abs(seconds) < 1:
        return f"{seconds * 1000:.0f} ms"
    left, found = int(abs(seconds)), []
    for size, unit in UNITS:
        if left >= size:
            found.append(f"{left // size} {unit}")
            left %= size
        elif found:
            break
    return ("-" if seconds < 0 else "") + " ".join(found[:2])


def ago(instant: datetime | None, now: datetime) -> str:
    """How long ago, or in what time, an instant is."""
    if instant is None:
        return "-"
    passed = (now - instant).total_seconds()
    if abs(passed) < 1:
        return "now"
    return f"{span(passed)} ago" if passed > 0 else f"in {span(-passed)}"


def stamp(instant: datetime | None) -> str:
    """An instant to the second, in UTC."""
    return "-" if instant is None else f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def rate(value: float | None) -> str:
    """How often something happens: by the second, or by the minute where that says more."""
    if value is None:
        return "-"
    return f"{value:,.1f}/s" if value >= 1 or not value else f"{value * 60:,.1f}/min"


def option(value: Any, name: str) -> str:
    """The value of an option of a task's policy."""
    return option_in_words(name, value)


def number(value: int) -> str:
    """A number with its thousands set apart."""
    return f"{value:,}"


def short(value: Any, most: int = 80) -> str:
    """A value in one line."""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def pretty(value: Any) -> str:
    """A value as indented JSON; what JSON has no type for, as text."""
    return json.dumps(value, indent=2, default=str, ensure_ascii=False)
