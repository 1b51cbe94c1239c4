"""Keys of tasks that were given none: unique everywhere, and in the order in which one process made them.

32 hexadecimal digits: 48 bits of milliseconds, a counter of 24 bits, 56 random bits. The order matters within
one millisecond, where `run_at` cannot tell two tasks apart and the key decides who is first.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Final

RANDOM: Final = 7
BLOCK: Final = 64


class KeyMaker:
    """Makes keys for one queue object; callable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0

    def __call__(self, now: datetime) -> str:
        """A key that sorts after all that this object made before, also where the clock stepped back."""
        return f"{self._reserved(now, 1):018x}{os.urandom(RANDOM).hex()}"

    def endlessly(self, now: datetime) -> Iterator[str]:
        """Keys for many tasks of one instant, in order: 0.6 µs each instead of 1.7."""
        while True:
            head, tail = self._reserved(now, BLOCK), os.urandom(RANDOM * BLOCK).hex()
            for place in range(BLOCK):
                yield f"{head + place:018x}{tail[2 * RANDOM * place : 2 * RANDOM * (place + 1)]}"

    def _reserved(self, now: datetime, count: int) -> int:
        """The first of `count` heads that follow each other: an instant, and the number within it."""
        head = int(now.timestamp() * 1000) << 24
        with self._lock:
            head = max(head, self._next)
            self._next = head + count
        return head
