"""A worker process as the acceptance tests start it: `python fleet_worker.py URI NAMESPACE KIND JOURNAL`."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from mongoq import Linear, Queue, Task


def main() -> None:
    uri, namespace, kind, folder = sys.argv[1:]
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    journal = os.open(Path(folder) / str(os.getpid()), os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(task: Task) -> None:
        os.write(journal, f"{task.key}\n".encode())

    def quick(task: Task) -> None:
        note(task)

    def slow(task: Task) -> None:
        note(task)
        threading.Event().wait(0.05)

    def stuck(task: Task) -> None:
        note(task)
        threading.Event().wait(60)

    def poison(task: Task) -> None:
        note(task)
        if task.get("poison"):
            os.kill(os.getpid(), signal.SIGKILL)
        threading.Event().wait(0.002)

    handlers: dict[str, Callable[[Task], None]] = {"quick": quick, "slow": slow, "stuck": stuck, "poison": poison}
    handlers["stuck and patient"] = stuck
    grace = 60 if kind == "stuck and patient" else 1.5
    with Queue(uri, namespace=namespace, lease=2, grace=grace, workers=4, backoff=Linear(0.1)) as queue:
        queue.run(handlers[kind])


if __name__ == "__main__":
    main()
