"""A worker that notes when it runs tasks under limits: `limited_worker.py URI NAMESPACE FILE`.

Each line of the file is "begin" or "end", the group of the task, its number, and the instant on the clock that the
processes of a machine share. A line is written by one call, so what a kill leaves is whole.
"""

from __future__ import annotations

import os
import sys
import threading
import time

from mongoq import Queue, Task


def main() -> None:
    uri, namespace, path = sys.argv[1:]
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(what: str, task: Task) -> None:
        os.write(file, f"{what} {task.tags['group']} {task.tags['n']} {time.monotonic()}\n".encode())

    def handler(task: Task) -> None:
        note("begin", task)
        threading.Event().wait(task.tags["seconds"])
        note("end", task)

    with Queue(uri, namespace=namespace, lease=2) as queue:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        queue.run(handler, workers=10)


if __name__ == "__main__":
    main()
