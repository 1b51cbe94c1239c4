"""The interpreter's settings while a worker runs in the foreground of its process.

A worker that runs in the background of an application (`Queue.start`) leaves them alone: they belong to the
application. A process that does nothing but work (`Queue.run`, `mongoq worker`) is the library's to tune.
"""

from __future__ import annotations

import gc
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
SELDOM: Final = 20_000
"""How many more objects there are before the garbage collector looks at the new ones; Python's own are 700 to 2,000.

A worker holds some thousand tasks of a dozen objects each, and none of them is garbage. With 700 the collector took
15 µs of CPU per task that does nothing, with 10,000 11, with 20,000 5 (on a busy machine, Python 3.11).
"""

_changing = threading.Lock()
_users = 0
_interval = LONGEST
_threshold: tuple[int, int, int] = gc.get_threshold()


@contextmanager
def tuned() -> Iterator[None]:
    """Switch threads more often and collect garbage more seldom in the block; what the application sets stays."""
    global _users  # noqa: PLW0603 -- the interpreter has one of each, too
    with _changing:
        if not _users:
            _tune()
        _users += 1
    try:
        yield
    finally:
        with _changing:
            _users -= 1
            if not _users:
                _restore()


def _tune() -> None:
    global _interval, _threshold
    _interval, _threshold = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(min(_interval, LONGEST))
    if 0 < _threshold[0] < SELDOM:  # 0: it is switched off
        gc.set_threshold(SELDOM, *_threshold[1:])


def _restore() -> None:
    if math.isclose(sys.getswitchinterval(), LONGEST, abs_tol=1e-6):
        sys.setswitchinterval(_interval)
    if gc.get_threshold()[0] == SELDOM:
        gc.set_threshold(*_threshold)
