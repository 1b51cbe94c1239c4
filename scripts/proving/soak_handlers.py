"""What the tasks of a soak do: most return, others fail, outrun their deadline, fork or start programs.

The tag `kind` of a task says which. The functions are at the top level of a module, so that children of the processes
executor can import them.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final

from mongoq import Cancel, Fail, Snooze, Task

DEADLINE: Final = 0.5
BALLAST: Final = 2**20
"""Bytes that a failing handler holds in a local variable when it fails."""
ROUND: Final = (
    "fail", "group", "late", "fail", *("quick",) * 26, "fail", "group", "late",  # a tenth fails, a twentieth is late
    "steer", "late", "fork", "process", "program", "both", "snooze", *("quick",) * 20,
)  # fmt: skip
"""The kinds of 60 tasks, which repeat."""


def handle(task: Task) -> int:
    """Run a task in a thread or a child."""
    kind = task.tags["kind"]
    if kind == "late":
        ends = time.monotonic() + 60
        while time.monotonic() < ends:
            time.sleep(0.01)
    return do(kind, task)


async def handle_async(task: Task) -> int:
    """Run a task on the event loop; what blocks goes to a thread of the loop's pool, except forks."""
    kind = task.tags["kind"]
    if kind == "late":
        await asyncio.sleep(60)
    if kind == "group":
        async with asyncio.TaskGroup() as together:
            together.create_task(asyncio.sleep(60))
            together.create_task(fail(task))
    if kind == "program":
        process = await asyncio.create_subprocess_exec(sys.executable, "-SEc", "", stdin=subprocess.DEVNULL)
        return await process.wait()
    return do(kind, task)


async def fail(task: Task) -> None:
    """Fail a little later, while others of the group wait."""
    await asyncio.sleep(0.01)
    broken(task)


def do(kind: str, task: Task) -> int:
    """Do what a task of this kind does; the exit code of what it started."""
    return ACTS[kind](task)


def quick(_task: Task) -> int:
    """Do nothing."""
    return 0


def broken(task: Task) -> int:
    """Fail, with a megabyte in the frame."""
    ballast = bytearray(BALLAST)
    raise ValueError(f"{task.key} holds {len(ballast)} bytes")


def group(task: Task) -> int:
    """Fail by a group of errors, one of them in a group of its own."""
    errors = []
    for _ in range(2):
        try:
            broken(task)
        except ValueError as error:
            errors.append(error)
    raise ExceptionGroup("two things failed", [errors[0], ExceptionGroup("one of them", [errors[1]])])


def steer(task: Task) -> int:
    """Fail for good from within a group."""
    raise ExceptionGroup("a group", [ValueError(task.key), Fail("no more")])


def both(task: Task) -> int:
    """Steer in two ways at once: the stronger wins."""
    raise BaseExceptionGroup("a group", [Snooze(1), Cancel(task.key)])


def snooze(task: Task) -> int:
    """Put the task off, once."""
    if task.attempts == 1:
        raise Snooze(0.5)
    return 0


def fork(_task: Task) -> int:
    """Fork, and end the fork as a program ends."""
    child = os.fork()
    if child == 0:
        sys.exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def process(_task: Task) -> int:
    """Start a process by a fork, and terminate it."""
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    child.terminate()
    child.join()
    code = child.exitcode
    child.close()
    return code or 0


def program(_task: Task) -> int:
    """Run a program."""
    return subprocess.run([sys.executable, "-SEc", ""], stdin=subprocess.DEVNULL, check=True).returncode


ACTS: Final[dict[str, Callable[[Task], int]]] = {
    "quick": quick,
    "fail": broken,
    "group": group,
    "steer": steer,
    "both": both,
    "snooze": snooze,
    "fork": fork,
    "process": process,
    "program": program,
    "late": quick,
}
