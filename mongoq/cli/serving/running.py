"""Run a queue's worker in the foreground, of either tempo, and count how its attempts ended."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from mongoq import AsyncQueue, Queue
from mongoq.cli.output import clean
from mongoq.cli.serving.json_lines import JsonLines
from mongoq.core.events import Signpost

log = logging.getLogger("mongoq.cli")

TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
AT_ONCE: Final = 0.5
"""Seconds within which a signal that comes again is the same one, sent to the process and to its group."""


@contextmanager
def counted(queue: Queue | AsyncQueue) -> Iterator[dict[str, Any]]:
    """Count how the attempts of a queue's workers end in the block: the figures, complete when it has ended."""
    endings: Counter[str] = Counter()
    counting = threading.Lock()
    figures: dict[str, Any] = {}

    def count(name: str, event: Mapping[str, Any]) -> None:
        if name == Signpost.ENDED:
            with counting:
                endings[str(event["verdict"].event)] += 1

    queue.telemetry.subscribe(count)
    start = time.monotonic()
    yield figures
    told = ", ".join(f"{number} x {name}" for name, number in sorted(endings.items())) or "no tasks"
    log.info("worker stopped: %s", told)
    figures |= {"seconds": round(time.monotonic() - start, 3), "endings": dict(endings)}


async def until_signalled(working: asyncio.Task[None]) -> None:
    """Wait for a worker on this loop; SIGTERM and SIGINT cancel it, which drains it, and a second one stops it."""
    loop = asyncio.get_running_loop()
    came = float("-inf")

    def arrived(number: signal.Signals) -> None:
        nonlocal came
        now = time.monotonic()
        if now - came > AT_ONCE:
            came = now
            log.warning("%s: no more tasks are claimed; those that run may end", number.name)
            working.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, arrived, number)
    try:
        await working
    except asyncio.CancelledError:
        if came == float("-inf"):
            raise
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


class Lines(logging.Formatter):
    """Escapes control characters in log lines: keys and messages come from tasks."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 -- named by logging
        """Format the record in one line."""
        record.message = clean(record.message)
        record.message += _task_of(vars(record))
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 -- as above
        """Format the traceback, keeping its lines."""
        return clean(super().formatException(ei), lines=True)


def _task_of(facts: Mapping[str, Any]) -> str:
    """The task of a handler's line; nothing for other lines, and where the line names it already."""
    if "task_attempt" not in facts or facts["task_key"] in facts["message"]:
        return ""
    name = f" name={clean(facts['task_name'])}" if facts["task_name"] else ""
    return f" [task={clean(facts['task_key'])}{name} attempt={facts['task_attempt']}]"


def log_to_stderr(*, as_json: bool = False) -> None:
    """Log from INFO on, unless the application has set up its logging."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else Lines(TEXT, "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("pymongo").setLevel(logging.WARNING)  # at DEBUG it logs payloads
