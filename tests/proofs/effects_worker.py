"""A worker whose handlers insert one row each, in a transaction with the completion: `effects_worker.py URI NAMESPACE`.

At its first attempt a task may freeze or kill its own process, at the place that its tags name.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from mongoq import Linear, Queue, Task


def main() -> None:
    uri, namespace = sys.argv[1:]

    def happen(task: Task, place: str) -> None:
        if task.attempts == 1 and task.get("place") == place:
            os.kill(os.getpid(), signal.SIGSTOP if task.get("what") == "freeze" else signal.SIGKILL)
            threading.Event().wait(0.05)  # a signal of one's own may come a moment later

    def handler(task: Task) -> None:
        happen(task, "before")
        with queue.transaction(task) as session:
            rows = session.client["mongoq"][f"{namespace}.rows"]
            rows.insert_one({"task": task.key}, session=session)
            happen(task, "inside")
        happen(task, "after")

    # One handler at a time: one that kills its process would leave the transactions of others open for a minute.
    with Queue(uri, namespace=namespace, lease=1, workers=1, backoff=Linear(0.1), keep_completed=3600) as queue:
        queue.run(handler)


if __name__ == "__main__":
    main()
