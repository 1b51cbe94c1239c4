"""How a child of the process executor ends, and the processes that its handler has left in its group."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from mongoq.core.signals import DeadlineExceeded, Interrupted, Interruption

BROKE: Final = 70
"""The exit code of a child that could not go on."""
LAST_MOMENT: Final = 1.0
"""Seconds for a child to exit by itself."""


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a child, and with it those that its handler has started and left in its group."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)


def has_company(process: subprocess.Popen[bytes]) -> bool:
    """Whether others are in a child's group: what its handler has started. Only known on Linux; it takes some ms."""
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            state, _, group = file.read_text("utf-8", "replace").rpartition(") ")[2].split()[:3]
            if int(group) == process.pid and int(file.parent.name) != process.pid and state != "Z":
                return True
    return False


def wait_for_end(process: subprocess.Popen[bytes], *, killed: bool) -> str:
    """Wait for the end of a child that has closed its socket; how it ended. `killed` says that its worker did it."""
    hung = False
    try:
        process.wait(LAST_MOMENT)
    except subprocess.TimeoutExpired:
        hung = True
    if hung or killed or process.returncode != 0:
        kill_group(process)
    code = process.wait()
    if killed:
        return "was killed by its worker"
    return "closed its connection to the worker, which killed it for that" if hung else how_it_ended(code)


def error_at(reason: Interruption | None, *, late: bool) -> BaseException:
    """What stands for the outcome of a handler that was killed for this."""
    if reason is None or (late and reason is not Interruption.CANCEL):
        return DeadlineExceeded()
    return Interrupted(reason)


def how_it_ended(code: int) -> str:
    """An exit code in words."""
    if code == 0 and signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
        return "ended; nobody knows how, because this process ignores SIGCHLD"
    if code == BROKE:
        return f"broke down and exited with code {code}: most likely no memory was left; it has said more to stderr"
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    outside = -code == signal.SIGKILL and sys.platform == "linux"
    hint = " from outside, as Linux does when memory runs out" if outside else ""
    return f"was killed by {name}{hint}"
