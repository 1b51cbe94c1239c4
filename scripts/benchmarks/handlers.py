"""Handlers that processes other than the benchmark's own run, so they live in a module that can be imported."""

from __future__ import annotations

import asyncio
import time
from typing import Any


def no_op(_task: Any) -> None:
    """Do nothing."""


def spin(task: Any) -> None:
    """Compute in pure Python, as many steps as the task says."""
    compute(task.tags["steps"])


async def nap(_task: Any) -> None:
    """Wait for 100 ms without holding a thread."""
    await asyncio.sleep(0.1)


def compute(steps: int) -> int:
    """Do a fixed amount of work: unlike a fixed time it takes longer when something is in the way."""
    total = 0
    for number in range(steps):
        total += number & 3
    return total


def steps_for(seconds: float) -> int:
    """How many steps take about so long here, by the fastest of five tries."""
    steps, best = 200_000, float("inf")
    for _ in range(5):
        began = time.perf_counter()
        compute(steps)
        best = min(best, time.perf_counter() - began)
    return int(steps * seconds / best)
