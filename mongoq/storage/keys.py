"""Keys of tasks that were given none: unique everywhere, and in the order in which one process made them.

32 hexadecimal digits: 48 bits of milliseconds, a counter of 24 bits, 56 random bits. The order matters within
one millisecond, where `run_at` cannot tell two tasks apart and the key decides who is first.
"""

from __future__ import annotations

import os
import threading
from datetime import datetime


class KeyMaker:
    """Makes keys for one queue object; callable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._instant = 0
        self._count = 0

    def __call__(self, now: datetime) -> str:
        """A key that sorts after all that this object made before, also where the clock stepped back."""
        instant = int(now.timestamp() * 1000)
        with self._lock:
            if instant > self._instant:
                self._instant, self._count = instant, 0
            else:
                self._count += 1
                if self._count >> 24:
                    self._instant, self._count = self._instant + 1, 0
            head = (self._instant << 24) | self._count
        return f"{head:018x}{os.urandom(7).hex()}"
