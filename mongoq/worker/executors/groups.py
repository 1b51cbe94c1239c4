"""A process that outlives the worker by a moment: where that was killed, it ends what the children have started.

Linux kills the children together with their worker, but not the processes that their handlers have started. Nothing in
a child could: it is dead by then, or stuck in a call.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Final

from mongoq.worker import forks

log = logging.getLogger("mongoq.worker")

PROGRAM: Final = """
import os, signal, sys
groups = set()
for line in sys.stdin:
    if line[0] == "!":
        break
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
"""


class Groups:
    """The process groups to be killed when this process ends, however it does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._no_more_forks: Callable[[], object] = lambda: None

    def add(self, group: int) -> None:
        """Kill this one, too."""
        with self._lock:
            if self._process is None:
                self._process = self._start()
        self._tell(b"+%d\n" % group)

    def remove(self, group: int) -> None:
        """Leave this one, which has ended."""
        self._tell(b"-%d\n" % group)

    def close(self) -> None:
        """End it; groups that were not removed are killed. Some other process may hold its pipe open."""
        self._tell(b"!\n")
        with self._lock:
            process, self._process = self._process, None
        self._no_more_forks()
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.wait()

    def _start(self) -> subprocess.Popen[bytes] | None:
        command = [sys.executable, "-I", "-S", "-c", PROGRAM]
        quiet = subprocess.DEVNULL
        try:
            process = subprocess.Popen(
                command, bufsize=0, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, process_group=0
            )
        except OSError as error:
            log.warning("what handlers start may outlive a worker that is killed: %s", error)
            return None
        assert process.stdin is not None
        pipe = process.stdin.fileno()
        self._no_more_forks = forks.at_fork(lambda: forks.forget(pipe))
        return process

    def _tell(self, line: bytes) -> None:
        process = self._process
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                os.write(process.stdin.fileno(), line)
