"""Answers of verbs, read once for all open tabs: what is asked again within a few seconds is told again.

Like the look at the fleet they take at most a hundredth of the time for reading, as long as 30 s are enough for that.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from mongoq.core.clock import elapsed
from mongoq.dashboard.service.gateway import Gateway

EVERY: Final = 5.0
SHARE: Final = 100
"""It waits so many times as long as it has read: at most a hundredth of the time of one core goes into it,"""
LONGEST: Final = 6
"""but no longer than so many times its pace,"""
LEAST: Final = 20
"""unless that would be more than a twentieth of the time."""
MOST: Final = 256
"""Answers that are kept, whoever asked for them."""


def pause(every: float, took: float) -> float:
    """How many seconds to wait after something was read that took so long."""
    return max(every, LEAST * took, min(SHARE * took, LONGEST * every))


class Answers:
    """The newest answers, by what was asked."""

    def __init__(self, gateway: Gateway, every: float = EVERY) -> None:
        self._gateway = gateway
        self._every = every
        self._kept: dict[tuple[Any, ...], _Answer] = {}

    async def ask(self, verb: str, *args: Any, fresh: bool = False, **options: Any) -> Any:
        """The result of a verb: as it was told a moment ago, or, where it is to be `fresh`, as it is now."""
        key = (verb, *map(str, args), *sorted((field, str(value)) for field, value in options.items()))
        answer = self._kept.setdefault(key, _Answer())
        while len(self._kept) > MOST:
            self._kept.pop(next(iter(self._kept)))
        async with answer.reading:  # tabs ask all at once
            if fresh or elapsed() >= answer.until:
                began = elapsed()
                answer.told = await self._gateway.ask(verb, *args, **options)
                answer.until = elapsed() + 0.9 * pause(self._every, elapsed() - began)
        return answer.told

    def forget(self) -> None:
        """Let everything be read anew: something was changed."""
        self._kept.clear()


class _Answer:
    """What a verb told, and until when that is told again."""

    __slots__ = ("reading", "told", "until")

    def __init__(self) -> None:
        self.reading = asyncio.Lock()
        self.told: Any = None
        self.until = float("-inf")
