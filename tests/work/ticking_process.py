"""Enqueue what schedules say, over and over, until killed: python ticking_process.py URI NAMESPACE [CLOCK].

CLOCK is a file that holds the time.
"""

from __future__ import annotations

import os
import random
import sys
import time
from datetime import datetime
from pathlib import Path

from mongoq import Queue
from mongoq.core.clock import Clock, FrozenClock
from mongoq.storage.operations.schedules.tick import tick


class FileClock(FrozenClock):
    """A clock that stands where a file says."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def now(self) -> datetime:
        """The instant in the file."""
        return datetime.fromisoformat(self._file.read_text())

    earliest = latest = now


def main(uri: str, namespace: str, file: str | None = None) -> None:
    clock: Clock | None = None if file is None else FileClock(Path(file))
    with Queue(uri, namespace=namespace, clock=clock) as queue:
        sys.stdout.write("ticking\n")
        sys.stdout.flush()
        parent = os.getppid()
        while os.getppid() == parent:  # or it would outlive a test that was killed
            queue._base.run(tick(queue._base.context))
            time.sleep(random.uniform(0, 0.02))  # noqa: S311 -- no secret


if __name__ == "__main__":
    main(*sys.argv[1:])
