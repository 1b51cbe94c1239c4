"""Handlers that a worker has to stop."""

from __future__ import annotations

import asyncio
import threading
import time

from mongoq import Task


def spin(task: Task) -> None:
    """Run Python code for ever, as a handler stuck in a loop does."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        pass


def cooperate(task: Task) -> None:
    """Stop as soon as it is asked to."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        task.raise_if_cancelled()
        threading.Event().wait(0.005)


async def forever(task: Task) -> None:
    await asyncio.Event().wait()
