"""A worker whose handlers insert one row each: `line_worker.py URI NAMESPACE`.

A task may kill its own process once, before its row or after it, as its tags say; it notes that first.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

from pymongo import MongoClient

from mongoq import Queue, Task


def main() -> None:
    uri, namespace = sys.argv[1:]

    def happen(task: Task, place: str) -> None:
        if task.get("dies") == place and not deaths.find_one({"_id": task.key}):
            deaths.insert_one({"_id": task.key, "line": task.get("line"), "n": task.get("n")})
            os.kill(os.getpid(), signal.SIGKILL)
            threading.Event().wait(0.05)  # a signal of one's own may come a moment later

    client: MongoClient[dict[str, Any]] = MongoClient(uri)
    with client, Queue(uri, namespace=namespace, lease=1, workers=4, keep_completed=0) as queue:
        rows, deaths = (client["mongoq"][f"{namespace}.{what}"] for what in ("rows", "deaths"))

        def handler(task: Task) -> None:
            happen(task, "before")
            rows.insert_one({"line": task.get("line"), "n": task.get("n")})
            happen(task, "after")

        queue.run(handler)


if __name__ == "__main__":
    main()
