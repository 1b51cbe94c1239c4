"""A worker process of a soak: `python -m proving.soak_worker SPEC`, the server in MONGOQ_URI.

It speaks as `benchmarks.worker` does, and tells of itself and of all processes below it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.worker import GO, Timed, answer, say
from mongoq import Queue, Signpost
from proving import soak_handlers

PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class SoakSpec:
    """What a worker process is to do."""

    namespace: str
    executor: str
    """Its kind, which is the name of its queue as well."""
    keep: float
    """Seconds for which finished tasks are kept."""
    workers: int


class Finished:
    """Counts endings, those that the children came to included."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, name: str, fields: Mapping[str, Any]) -> None:
        """Note the endings that were written; one thread writes them."""
        if name == Signpost.FINISHED:
            self.count += fields["count"]


def footprint(process: int) -> dict[str, float]:
    """The memory in MB, threads, descriptors and number of a process with all those below it."""
    below, found = [process], {"rss": 0.0, "threads": 0.0, "descriptors": 0.0, "children": -1.0}
    while below:
        folder = Path("/proc", str(below.pop()))
        with suppress(OSError):  # it has ended
            tasks = list(folder.joinpath("task").iterdir())
            for task in tasks:
                with suppress(OSError):
                    below += map(int, task.joinpath("children").read_text().split())
            found["rss"] += int(folder.joinpath("statm").read_text().split()[1]) * PAGE / 2**20
            found["threads"] += len(tasks)
            found["descriptors"] += len(list(folder.joinpath("fd").iterdir()))
            found["children"] += 1
    return found


def work(spec: SoakSpec) -> None:
    """Run a worker as `spec` says."""
    logging.getLogger("mongoq").setLevel(logging.CRITICAL)  # failures are what it is about
    finished, timed = Finished(), Timed()

    def facts() -> dict[str, Any]:
        told = {"now": time.monotonic(), "done": finished.count, "claims_took": timed.taken()}
        return {**told, "executor": spec.executor, **footprint(os.getpid())}

    handler = soak_handlers.handle_async if spec.executor == "asyncio" else soak_handlers.handle
    options: dict[str, Any] = {"max_retries": 1, "backoff": 0.5, "keep_completed": spec.keep, "keep_failed": spec.keep}
    with Queue(os.environ["MONGOQ_URI"], namespace=spec.namespace, **options) as queue:
        say(at=queue.time().timestamp())
        if os.read(0, 1) != GO:
            return
        threading.Thread(target=answer, args=(facts,), daemon=True).start()
        queue.telemetry.subscribe(finished)
        queue.telemetry.subscribe(timed)
        queue.run(handler, queues=spec.executor, executor=spec.executor, workers=spec.workers)


if __name__ == "__main__":
    work(SoakSpec(**json.loads(sys.argv[1])))
