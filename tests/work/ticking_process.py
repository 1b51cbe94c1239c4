"""Enqueue what schedules say, over and over, until killed: python ticking_process.py URI NAMESPACE."""

from __future__ import annotations

import os
import random
import sys
import time

from mongoq import Queue
from mongoq.storage.operations.schedules.tick import tick


def main(uri: str, namespace: str) -> None:
    with Queue(uri, namespace=namespace) as queue:
        sys.stdout.write("ticking\n")
        sys.stdout.flush()
        parent = os.getppid()
        while os.getppid() == parent:  # or it would outlive a test that was killed
            queue._base.run(tick(queue._base.context))
            time.sleep(random.uniform(0, 0.02))  # noqa: S311 -- no secret


if __name__ == "__main__":
    main(*sys.argv[1:])
