"""How long a failed task waits before its next attempt.

A backoff is a value: pure, comparable and storable, so it travels with the task and any process can apply it. A plain
callable of the attempt works too, but cannot be stored: set it on the queue of the worker.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from typing import Any, ClassVar, Final

from mongoq.core.validation import LONGEST, Checker, Duration

__all__ = ["Backoff", "Constant", "Exponential", "Ladder", "Linear"]


@dataclass(frozen=True, slots=True)
class Linear:
    """Wait `step` after the first failed attempt, twice that after the second, and so on, at most `max` (10 years)."""

    kind: ClassVar[str] = "linear"
    step: Duration
    """The first wait."""
    max: Duration = LONGEST
    """The longest wait. Default: 10 years."""

    def __post_init__(self) -> None:
        _check_durations(self).finish()

    def delay(self, attempt: int) -> timedelta:
        """The wait after the failed attempt number `attempt`, counted from 1."""
        return _capped(_seconds(self.step) * attempt, self.max)


@dataclass(frozen=True, slots=True)
class Exponential:
    """Wait `base` after the first failed attempt, then `factor` times as long after each, at most `max` (30 minutes).

    `jitter` shortens each wait by a random part, at most half, so that tasks that failed together do not retry
    together.
    """

    kind: ClassVar[str] = "exponential"
    base: Duration
    """The first wait."""
    factor: float = 2.0
    """From 1 to 1,000."""
    max: Duration = timedelta(minutes=30)
    """The longest wait. Default: 30 minutes; after it jitter is taken off."""
    jitter: bool = True
    """Whether a random part is taken off each wait, at most half. Default: it is."""

    def __post_init__(self) -> None:
        checker = _check_durations(self)
        if isinstance(self.factor, bool) or not isinstance(self.factor, int | float) or not 1 <= self.factor <= 1000:
            checker.refuse("backoff.factor", self.factor, "a number from 1 to 1000")
        if not isinstance(self.jitter, bool):
            checker.refuse("backoff.jitter", self.jitter, "True or False")
        checker.finish()

    def delay(self, attempt: int) -> timedelta:
        """The wait after the failed attempt number `attempt`, counted from 1."""
        # The exponent is bounded, because 1000.0 ** 103 overflows; `max` is reached long before.
        wait = _capped(_seconds(self.base) * self.factor ** min(attempt - 1, 100), self.max)
        return wait * random.uniform(0.5, 1) if self.jitter else wait  # noqa: S311 -- no secret


@dataclass(frozen=True, slots=True)
class Constant:
    """Wait the same after every failed attempt."""

    kind: ClassVar[str] = "constant"
    wait: Duration
    """Each wait."""

    def __post_init__(self) -> None:
        _check_durations(self).finish()

    def delay(self, attempt: int) -> timedelta:  # noqa: ARG002 -- the wait is the same after each
        """The wait after any failed attempt."""
        return _capped(_seconds(self.wait), LONGEST)


@dataclass(frozen=True, slots=True)
class Ladder:
    """Wait for the first of `steps` after the first failed attempt, and so on; the last step repeats."""

    kind: ClassVar[str] = "ladder"
    steps: Sequence[Duration]
    """The waits, 1 to 100 of them."""

    def __post_init__(self) -> None:
        checker = Checker()
        if (
            isinstance(self.steps, str | bytes)
            or not isinstance(self.steps, Sequence)
            or not 0 < len(self.steps) <= 100
        ):
            checker.refuse("backoff.steps", self.steps, "a list of 1 to 100 durations")
        else:
            steps = tuple(checker.duration(f"backoff.steps[{index}]", step) for index, step in enumerate(self.steps))
            object.__setattr__(self, "steps", steps)
        checker.finish()

    def delay(self, attempt: int) -> timedelta:
        """The wait after the failed attempt number `attempt`, counted from 1."""
        return _capped(_seconds(self.steps[min(attempt, len(self.steps)) - 1]), LONGEST)


Backoff = Linear | Exponential | Constant | Ladder
BackoffLike = Backoff | Callable[[int], Duration]

KINDS: Final[Mapping[str, type[Backoff]]] = {kind.kind: kind for kind in (Linear, Exponential, Constant, Ladder)}


def delay_of(backoff: BackoffLike, attempt: int) -> timedelta:
    """Compute the wait after the failed attempt number `attempt`, counted from 1."""
    if isinstance(backoff, Linear | Exponential | Constant | Ladder):
        return backoff.delay(attempt)
    return _capped(_seconds(backoff(attempt)), LONGEST)


def as_spec(backoff: Backoff) -> dict[str, Any]:
    """Convert a backoff into plain values, to be stored with the task."""
    values = {name: _plain(value) for name, value in asdict(backoff).items()}
    return {"kind": backoff.kind, **values}


def from_spec(spec: Mapping[str, Any]) -> Backoff:
    """Restore a backoff from `as_spec`; raises ValueError or TypeError for anything else."""
    kind = KINDS.get(spec.get("kind", ""))
    if kind is None:
        raise ValueError(f"no backoff is called {spec.get('kind')!r}")
    return kind(**{name: value for name, value in spec.items() if name != "kind"})


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return [_plain(inner) for inner in value] if isinstance(value, tuple | list) else value


def _seconds(duration: Duration) -> float:
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)


def _capped(seconds: float, most: Duration) -> timedelta:
    return timedelta(seconds=max(0.0, min(seconds, _seconds(most), LONGEST.total_seconds())))


def _check_durations(backoff: Any) -> Checker:
    checker = Checker()
    for field in fields(backoff):
        if field.type == "Duration":
            # Stored as a timedelta, so that Linear(10) equals Linear(timedelta(seconds=10)) and a restored one.
            # A maximum of 0 would cancel every wait that was asked for.
            checked = checker.duration(
                f"backoff.{field.name}", getattr(backoff, field.name), positive=field.name == "max"
            )
            object.__setattr__(backoff, field.name, checked)
    return checker
