"""Tasks that somebody's open transaction held a while ago: they are left alone, since each try costs time."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

BLOCKED_FOR: Final = 10.0


class Blocked:
    """Remembers keys for `BLOCKED_FOR` seconds; for one thread."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def add(self, keys: Iterable[str], now: float) -> None:
        """Note tasks that are blocked."""
        self._until |= dict.fromkeys(keys, now + BLOCKED_FOR)

    def keys(self, now: float) -> Collection[str]:
        """Those to leave alone at this instant."""
        if self._until:
            self._until = {key: until for key, until in self._until.items() if until > now}
        return self._until
