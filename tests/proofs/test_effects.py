"""One effect for each task, whatever becomes of its worker: nothing but the transaction keeps the rows apart."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest
from pymongo import MongoClient

from mongoq import NewTask, Queue, TaskState
from mongoq.embedded.server import EmbeddedServer

WORKER: Final = Path(__file__).with_name("effects_worker.py")
WORKERS: Final = 4
BEYOND: Final = 2.5
"""Seconds for which a worker stays frozen: its lease of 1 s, the second of grace after it, and some."""


class Crew:
    """Workers that are thawed some time after they froze, and replaced where they died."""

    def __init__(self, uri: str, namespace: str) -> None:
        self._command = [sys.executable, str(WORKER), uri, namespace]
        self._workers = [subprocess.Popen(self._command) for _ in range(WORKERS)]
        self._frozen: dict[int, float] = {}
        self.thawed = 0
        self.died = 0

    def tend(self) -> None:
        """Thaw those that were frozen long enough, and replace the dead."""
        for place, worker in enumerate(self._workers):
            if worker.poll() is not None:
                self.died += 1
                self._frozen.pop(worker.pid, None)
                self._workers[place] = subprocess.Popen(self._command)
            elif _is_frozen(worker.pid):
                since = self._frozen.setdefault(worker.pid, time.monotonic())
                self._thaw(worker.pid, time.monotonic() - since)

    def _thaw(self, pid: int, frozen: float) -> None:
        if frozen > BEYOND:
            del self._frozen[pid]
            os.kill(pid, signal.SIGCONT)
            self.thawed += 1

    def close(self) -> None:
        """Kill all, by their pids."""
        for worker in self._workers:
            worker.kill()
            worker.wait()


def _is_frozen(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    return False


def _tasks(count: int, *, inside: bool) -> list[NewTask]:
    """Of ten tasks three freeze their worker and one kills it; inside its transaction only where that was asked for."""
    frozen = [{"what": "freeze", "place": place} for place in ("before", "inside", "after")]
    killed = [{"what": "kill", "place": place} for place in ("before", "after", *(["inside"] if inside else []))]

    def tags(n: int) -> dict[str, Any]:
        if n % 10 == 3:
            return frozen[n // 10 % 3]
        return killed[n // 20 % len(killed)] if n % 20 == 7 else {}

    return [NewTask(tags(n)) for n in range(count)]


@pytest.mark.skipif(not Path("/proc").exists(), reason="it sees in /proc who is frozen")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_each_task_has_exactly_one_effect(server: EmbeddedServer, count: int) -> None:
    namespace = f"t-{secrets.token_hex(4)}"
    with Queue(server.uri, namespace=namespace) as queue, MongoClient[dict[str, Any]](server.uri) as client:
        keys = {task.key for task in queue.new_many(_tasks(count, inside=count > 100))}
        crew = Crew(server.uri, namespace)
        deadline = time.monotonic() + (200 if count == 100 else 1500)
        try:
            while queue.count(state=TaskState.COMPLETED) < count or crew.thawed == 0:
                assert time.monotonic() < deadline, queue.stats()
                crew.tend()
                threading.Event().wait(0.05)
        finally:
            crew.close()
        rows = Counter(row["task"] for row in client["mongoq"][f"{namespace}.rows"].find())
        again = sum(task.attempts > 1 for task in queue.tasks(limit=None))

    assert rows == dict.fromkeys(keys, 1)
    assert again > 0
    assert crew.died > 0
    print(f"effects: {count} tasks, {again} run again, {crew.thawed} workers thawed, {crew.died} died")  # noqa: T201
