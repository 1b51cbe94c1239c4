"""`mongoq worker --reload`: run the worker in a child, and start it anew whenever a source file changes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from mongoq.cli.output import note

OPTION: Final = "--reload"
LOOK: Final = 0.5
"""Seconds between two looks at the files; 2,000 of them take 10 ms."""
GRACE: Final = 5.0
"""Seconds that a worker has to end before it is killed: its tasks are then rescued when their leases run out."""
SKIPPED: Final = ("__pycache__", "node_modules", "site-packages", "venv")


def reloading(arguments: Sequence[str], folder: Path) -> int:
    """Run `mongoq` with these arguments, again after each change of a source file below the folder; the exit code.

    A worker that ends by itself ends this too, unless it failed: then it is started again after the next change.
    """
    command = [sys.executable, "-m", "mongoq", *(argument for argument in arguments if argument != OPTION)]
    came: list[int] = []
    woken = threading.Event()

    def arrived(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        woken.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, arrived)
    while True:
        seen = states(folder)
        # A group of its own: Ctrl-C reaches it by way of this process, once.
        child = subprocess.Popen(command, process_group=0)
        try:
            while not came and states(folder) == seen and child.poll() != 0:
                woken.wait(LOOK)
            if came:
                return _ended(child, came[0])
            if child.poll() == 0:
                return 0
            note("a source file has changed: the worker starts again")
        finally:
            _ended(child, signal.SIGTERM)


def states(folder: Path) -> dict[str, int]:
    """When each source file below a folder was changed."""
    return dict(_files(str(folder)))


def _files(folder: str) -> Iterator[tuple[str, int]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:  # it has gone meanwhile, or is not ours to read
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name in SKIPPED:
            continue
        try:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path)
            elif entry.name.endswith(".py"):
                yield entry.path, entry.stat().st_mtime_ns
        except OSError:
            continue


def _ended(child: subprocess.Popen[bytes], number: int) -> int:
    """Tell a child to end and wait for that; its exit code."""
    if child.poll() is None:
        child.send_signal(number)
        try:
            child.wait(GRACE)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()
