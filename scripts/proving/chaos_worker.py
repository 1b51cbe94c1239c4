"""A worker process of a chaos run: `python -m proving.chaos_worker NAME EXECUTOR`, the server in MONGOQ_URI.

It works until it is stopped, and writes down what it is told by the queue's own events.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from mongoq import Linear, Queue, Signpost, Task
from mongoq.core.clock import elapsed
from proving.chaos_handlers import FOLDER, LEASE, handle, handle_async
from proving.history import Claimed
from proving.journal import Journal

NAMESPACE: Final = "chaos"
SLOTS: Final = {"threads": 4, "asyncio": 20, "processes": 2}
DAY: Final = 86_400.0


def queue_of(uri: str) -> Queue:
    """The queue as producers and workers of a run open it; nothing is deleted before the end."""
    return Queue(uri, namespace=NAMESPACE, lease=LEASE, grace=1, backoff=Linear(0.2), keep_completed=DAY)


class Notes:
    """Writes down what the queue announces."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __call__(self, name: str, fields: Mapping[str, Any]) -> None:
        """Note an event, if it is one that counts."""
        if name == Signpost.CLAIMED:
            if fields["tasks"]:
                tasks = [_claimed(task) for task in fields["tasks"]]
                self._journal.write("claimed", sent=fields["sent"], doubtful=fields["doubtful"], tasks=tasks)
        elif name == Signpost.RENEWED:
            self._journal.write("renewed", until=fields["until"], tasks=[(t.key, t.token) for t in fields["tasks"]])
        elif name == Signpost.ENDED:
            task = fields["task"]
            self._journal.write("ended", key=task.key, token=task.token, event=fields["verdict"].event)
        elif name == Signpost.FINISHED:
            endings = [(task.key, task.token, verdict.event) for task, verdict in fields["endings"]]
            self._journal.write("accepted", endings=endings)
        elif name in (Signpost.LEASE_LOST, Signpost.STORAGE_LOST, Signpost.STORAGE_BACK):
            self._journal.write(name, **{field: str(value) for field, value in fields.items()})


def _claimed(task: Task) -> Claimed:
    lease = (task.lease_until - task.started_at).total_seconds() if task.lease_until and task.started_at else 0.0
    run_at = task.run_at.timestamp() - time.time() + elapsed()
    return Claimed(task.key, task.token or "", task.attempts, task.priority, run_at, lease)


def end_with_stdin(end: Callable[[], object]) -> None:
    """Wait until whoever started this process has closed its stdin, or is gone."""
    while os.read(0, 4096):
        pass
    end()


def main() -> None:
    """Work."""
    name, executor = sys.argv[1:]
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    journal = Journal(Path(os.environ[FOLDER]), name)
    journal.write("began", pid=os.getpid(), executor=executor)
    threading.Thread(target=end_with_stdin, args=(partial(os._exit, 1),), daemon=True).start()
    with queue_of(os.environ["MONGOQ_URI"]) as queue:
        queue.telemetry.subscribe(Notes(journal))
        handler = handle_async if executor == "asyncio" else handle
        queue.run(handler, queues=["default", "other"], workers=SLOTS[executor], executor=executor)


if __name__ == "__main__":
    main()
