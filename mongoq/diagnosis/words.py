"""Durations, counts and lists in the sentences of findings."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from mongoq.core.lifecycle import TaskState
from mongoq.diagnosis.facts import Fleet

_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60))
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:@%+=,-]+")


def span(duration: timedelta) -> str:
    """A duration with one unit: `45 s`, `3 min`, `2 h`, `4 d`."""
    seconds = max(0.0, duration.total_seconds())
    for unit, size in _UNITS:
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def tasks(count: int, state: TaskState | None = None) -> str:
    """`1 ready task`, `2,000 ready tasks`."""
    return f"{count:,} {f'{state} ' if state else ''}task{'' if count == 1 else 's'}"


def waiting(count: int, state: TaskState | None = None) -> str:
    """`1 parked task waits`, `2 parked tasks wait`."""
    return f"{tasks(count, state)} wait{'s' if count == 1 else ''}"


def ready(fleet: Fleet, count: int) -> str:
    """`2 ready tasks`; `at least 2 ready tasks` where they were not counted."""
    return f"{'at least ' if fleet.sampled else ''}{tasks(count, TaskState.READY)}"


def listed(names: Iterable[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - most:,} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more


def mongosh(script: str) -> str:
    """What to type to let mongosh run a script where mongoq's tasks are."""
    return f'mongosh "$MONGOQ_URI" --eval {quoted(script)}'


def quoted(word: str) -> str:
    """A word as a shell takes it."""
    return word if _PLAIN.fullmatch(word) else "'" + word.replace("'", "'\\''") + "'"
