"""The options of a task's policy in words: durations as a person types them, a backoff as what it does. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from mongoq.core.judging.backoff import Backoff, Constant, Exponential, Ladder, Linear
from mongoq.core.judging.follow_up import FollowUp
from mongoq.core.validation import LONGEST, Duration, shortened

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "m"))


def option_in_words(name: str, value: Any) -> str:
    """The value of an option, in one line."""
    if value is None:
        return {"max_retries": "any number", "deadline": "none"}.get(name, "none")
    if isinstance(value, Linear | Exponential | Constant | Ladder):
        return backoff_in_words(value)
    if isinstance(value, FollowUp):
        return f"{value.name or 'a task'} in {value.queue}"
    if isinstance(value, timedelta):
        return lasting(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value) if isinstance(value, str | int | float) else shortened(value)


def backoff_in_words(backoff: Backoff) -> str:
    """How long a failed task waits: `5s after each failure`."""
    match backoff:
        case Constant():
            return f"{lasting(backoff.wait)} after each failure"
        case Linear():
            return f"{lasting(backoff.step)} more after each failure{_up_to(backoff.max)}"
        case Ladder():
            steps = [lasting(step) for step in backoff.steps]
            return f"{', '.join(steps)}{' after each failure' if len(steps) == 1 else ', and so on with the last'}"
        case Exponential():
            jitter = ", less a random part" if backoff.jitter else ""
            grows = f"{lasting(backoff.base)}, then {backoff.factor:g} times as long after each failure"
            return f"{grows}{_up_to(backoff.max)}{jitter}"


def lasting(duration: Duration) -> str:
    """A duration without rounding, as an option takes it: `90s`, `1h 30m`, `0.5s`."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
    whole, found = int(seconds), []
    for size, unit in _UNITS:
        if whole >= size:
            found.append(f"{whole // size}{unit}")
            whole %= size
    rest = whole + seconds - int(seconds)
    if rest or not found:
        found.append(f"{rest:.6g}s")
    return " ".join(found)


def _up_to(most: Duration) -> str:
    longest = most if isinstance(most, timedelta) else timedelta(seconds=most)
    return "" if longest >= LONGEST else f", at most {lasting(longest)}"
