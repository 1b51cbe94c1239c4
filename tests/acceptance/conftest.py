"""A fleet of real worker processes on a namespace of its own."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mongoq import Queue, WorkerInfo
from mongoq.storage.embedded import EmbeddedServer

WORKER = Path(__file__).with_name("fleet_worker.py")


class Fleet:
    """Worker processes, the queue they work on, and a journal of every handler that started."""

    def __init__(self, uri: str, journal: Path, until: Callable[..., None]) -> None:
        self.queue = Queue(uri, namespace=f"t-{secrets.token_hex(4)}")
        self.processes: list[subprocess.Popen[bytes]] = []
        self._uri = uri
        self._journal = journal
        self._until = until

    def start(self, count: int, kind: str) -> None:
        """Start worker processes and wait until each has sent its first heartbeat."""
        command = [sys.executable, str(WORKER), self._uri, self.queue.namespace, kind, str(self._journal)]
        started = [subprocess.Popen(command) for _ in range(count)]
        self.processes += started
        pids = {process.pid for process in started}
        self._until(lambda: pids <= {worker.pid for worker in self.members()}, timeout=30, why="the fleet has started")

    def members(self) -> list[WorkerInfo]:
        """The fleet as its heartbeats show it."""
        return self.queue.workers()

    def started(self) -> Counter[str]:
        """How often a handler started, by key."""
        lines = (line for file in self._journal.iterdir() for line in file.read_text().split())
        return Counter(lines)

    def started_by(self, process: subprocess.Popen[bytes]) -> list[str]:
        """The keys whose handlers one process started, in order."""
        file = self._journal / str(process.pid)
        return file.read_text().split() if file.exists() else []

    def close(self) -> None:
        """Kill what is left, by its pid."""
        for process in self.processes:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGCONT)
                process.kill()
            process.wait(10)
        self.queue.close()


@pytest.fixture
def fleet(server: EmbeddedServer, tmp_path: Path, until: Callable[..., None]) -> Iterator[Fleet]:
    fleet = Fleet(server.uri, tmp_path, until)
    yield fleet
    fleet.close()
