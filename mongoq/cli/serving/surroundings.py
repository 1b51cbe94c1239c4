"""What a worker stands in: its log, and the ports that others look at it by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from mongoq import AsyncQueue, Queue
from mongoq.cli.options import refuse
from mongoq.cli.serving.ports import serving
from mongoq.cli.serving.running import log_to_stderr
from mongoq.contrib.logs import name_tasks

FORMATS: Final = ("text", "json")


class Surroundings(NamedTuple):
    """What `mongoq worker` was asked for beside the work."""

    target: str
    metrics: int | None
    health: int | None
    log_format: str
    release: str | None

    @contextmanager
    def opened(self, queue: Queue | AsyncQueue) -> Iterator[None]:
        """Log, and serve the ports, during the block."""
        log_to_stderr(as_json=self.log_format == "json")
        name_tasks(queue)
        with serving(queue, self.metrics, self.health):
            yield


def checked_format(given: str) -> str:
    """The format of log lines; raises BadParameter where there is no such."""
    if given not in FORMATS:
        refuse(f"--log-format: {given!r} is neither text nor json")
    return given
