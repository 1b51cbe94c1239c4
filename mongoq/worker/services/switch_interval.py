"""A shorter switch interval for the interpreter's threads, while a worker runs in the foreground of its process.

A worker that runs in the background of an application (`Queue.start`) leaves the interval alone: it belongs to the
application. A process that does nothing but work (`Queue.run`, `mongoq worker`) is the library's to tune.
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

LONGEST: Final = 0.001
"""Seconds for which a thread that computes keeps the interpreter while others want it; Python's own are 0.005.

A thread that talks to MongoDB asks for the interpreter several times in each command, and with handlers that compute it
waits for an interval each time. With 0.005 two handlers that do nothing drained 7,200 tasks/s, with 0.001 9,000, with
0.0005 8,000 (medians of ten alternating rounds on a busy machine).
"""

_changing = threading.Lock()
_users = 0
_usual = LONGEST


@contextmanager
def shortened() -> Iterator[None]:
    """Let no interval be longer than `LONGEST` in the block; what the application sets meanwhile stays."""
    global _users, _usual  # noqa: PLW0603 -- the interpreter has one interval, too
    with _changing:
        if not _users:
            _usual = sys.getswitchinterval()
            sys.setswitchinterval(min(_usual, LONGEST))
        _users += 1
    try:
        yield
    finally:
        with _changing:
            _users -= 1
            if not _users and math.isclose(sys.getswitchinterval(), LONGEST, abs_tol=1e-6):
                sys.setswitchinterval(_usual)
