"""Answers of verbs, read once for all open tabs: what is asked again within a few seconds is told again.

Like the look at the fleet they take at most a twentieth of the time for reading.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from mongoq.core.clock import elapsed
from mongoq.dashboard.service.gateway import Gateway

EVERY: Final = 5.0
SHARE: Final = 20
"""It waits so many times as long as it has read."""
MOST: Final = 256
"""Answers that are kept, whoever asked for them."""


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
                answer.until = elapsed() + max(0.9 * self._every, SHARE * (elapsed() - began))
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
