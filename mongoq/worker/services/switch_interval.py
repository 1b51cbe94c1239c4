"""Shorter turns for the interpreter's threads while a worker runs in this process."""

from __future__ import annotations

import math
import sys
import threading
from typing import Final

LONGEST: Final = 0.001
"""Seconds for which a thread that computes keeps the interpreter while others want it; Python's own are 0.005.

Whoever talks to MongoDB asks for the interpreter several times in each command, and with handlers that compute it
waits a turn each time. With 0.005 two handlers that do nothing drained 7,200 tasks/s, with 0.001 9,000, with 0.0005
8,000 (medians of ten alternating rounds on a busy machine).
"""

_changing = threading.Lock()
_workers: Final[set[object]] = set()
_usual = LONGEST


def shorten(worker: object) -> None:
    """Let no turn be longer than `LONGEST` until this worker, and every other in the process, has ended."""
    global _usual  # noqa: PLW0603 -- the interpreter has one interval, too
    with _changing:
        if not _workers:
            _usual = sys.getswitchinterval()
            sys.setswitchinterval(min(_usual, LONGEST))
        _workers.add(worker)


def restore(worker: object) -> None:
    """This worker has ended. May be called twice; what the application has set meanwhile stays."""
    with _changing:
        if worker in _workers:
            _workers.remove(worker)
            if not _workers and math.isclose(sys.getswitchinterval(), LONGEST, abs_tol=1e-6):
                sys.setswitchinterval(_usual)
