"""A fleet of real worker processes on a namespace of its own, and the command line in this one."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mongoq import Queue, WorkerInfo
from mongoq.cli import main
from mongoq.embedded.server import EmbeddedServer

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
        self._until(lambda: pids <= {worker.pid for worker in self.members()}, why="the fleet has started")

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
            process.wait(60)
        self.queue.close()


@pytest.fixture
def fleet(server: EmbeddedServer, tmp_path: Path, until: Callable[..., None]) -> Iterator[Fleet]:
    fleet = Fleet(server.uri, tmp_path, until)
    yield fleet
    fleet.close()


class Said(NamedTuple):
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Said]


@pytest.fixture
def queue(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    """Give a queue in a namespace of its own, which the environment names for the command line too."""
    namespace = f"cli-{secrets.token_hex(4)}"
    monkeypatch.setenv("MONGOQ_URI", server.uri)
    monkeypatch.setenv("MONGOQ_NAMESPACE", namespace)
    with Queue(server.uri, namespace=namespace) as queue:
        yield queue


@pytest.fixture
def mongoq(queue: Queue, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Give `mongoq(*arguments)`: the command line, run in this process."""

    def run(*arguments: str) -> Said:
        capfd.readouterr()
        code = main(arguments)
        return Said(code, *capfd.readouterr())

    return run
