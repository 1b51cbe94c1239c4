"""What the tasks of a chaos run do: mostly little, sometimes the wrong thing. Their tag `kind` says which.

The functions are at the top level of a module, so that children of the processes executor can import them. Each
process writes down what it runs in a file of its own.
"""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import time
from pathlib import Path
from typing import Final

from mongoq import Fail, Snooze, Task
from proving.journal import Journal

FOLDER: Final = "PROVING_FOLDER"
LEASE: Final = 2.0
KINDS: Final = {
    "quick": 70.0,
    "nap": 15.0,
    "flaky": 7.0,
    "long": 2.5,
    "late": 1.5,
    "broken": 1.5,
    "snooze": 1.5,
    "refuse": 1.0,
    "poison": 0.04,
}
"""What a task may do, and how often in a hundred."""


def handle(task: Task) -> None:
    """Run a task in a thread or a child."""
    journal().write("ran", key=task.key, token=task.token)
    for pause in pauses(task):
        time.sleep(pause)
        task.raise_if_cancelled()
    journal().write("returned", key=task.key, token=task.token)


async def handle_async(task: Task) -> None:
    """Run a task on the event loop."""
    journal().write("ran", key=task.key, token=task.token)
    for pause in pauses(task):
        await asyncio.sleep(pause)
        task.raise_if_cancelled()
    journal().write("returned", key=task.key, token=task.token)


def pauses(task: Task) -> list[float]:
    """How long its handler sleeps, piece by piece; or it does something else, and there is no return."""
    kind = task.tags["kind"]
    if kind == "broken" or (kind == "flaky" and task.retries < task.tags["times"]):
        raise ValueError(kind)
    if kind == "snooze" and task.attempts == 1:
        raise Snooze(0.3)
    if kind == "refuse":
        raise Fail(kind)
    if kind == "poison":
        os.kill(os.getpid(), signal.SIGKILL)
    whole = {"nap": 0.03, "long": LEASE * 1.3, "late": LEASE}.get(kind, 0.0)
    return [0.02] * round(whole / 0.02)


@functools.cache
def journal() -> Journal:
    """The file of this process."""
    return Journal(Path(os.environ[FOLDER]), f"handler-{os.getpid()}-{time.time_ns()}")
