"""What a queue is given of fairness, checked, and whose turn it is."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from mongoq.core.validation import Checker, Duration

SHORTEST_AGING: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Fairness:
    """How claims heed those who wait."""

    share: float = 0.0
    """The share of claims that go to the oldest task."""
    aging: timedelta | None = None
    """After each such time of waiting a task counts as one priority higher; None: never."""


class Turns:
    """Counts the claims of a process, and says how many of the next ones are for the oldest tasks.

    It begins anywhere between two turns: processes that make few claims each give the share together.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due = random.random()  # noqa: S311 -- no secret

    def owe(self, claims: int, share: float) -> None:
        """Note claims that went by urgency alone."""
        with self._lock:
            self._due += claims * share

    def take(self, claims: int, share: float) -> int:
        """How many of so many claims are for the oldest tasks."""
        with self._lock:
            self._due += claims * share
            turns = min(claims, int(self._due))
            self._due -= turns
            return turns


def checked_fairness(checker: Checker, share: Any, aging: Duration | None) -> Fairness | None:
    """Check `fair_share` and `aging`; None where neither is given."""
    given = 0.0
    if share is not None:
        if isinstance(share, int | float) and not isinstance(share, bool) and 0 < share <= 1:
            given = float(share)
        else:
            checker.refuse("fair_share", share, "a number above 0 and up to 1: 0.1 is every tenth claim")
    length = None if aging is None else checker.duration("aging", aging, positive=True)
    if length is not None and length < SHORTEST_AGING:
        checker.refuse("aging", aging, "at least 1 second")
    return None if share is None and aging is None else Fairness(given, length)
