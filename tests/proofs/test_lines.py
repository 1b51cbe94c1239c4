"""Lines of tasks under a limit in strict order: exact in each, whatever is killed."""

from __future__ import annotations

import secrets
import subprocess
import sys
import threading
import time
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import pytest
from pymongo import MongoClient

from mongoq import Queue
from mongoq.embedded.server import EmbeddedServer

WORKER: Final = Path(__file__).with_name("line_worker.py")
WORKERS: Final = 8
LINES: Final = 3


def _tags(line: int, n: int, count: int) -> dict[str, Any]:
    """Five of each line kill their process, by turns before their row and after it."""
    deadly = n % (count // 5) == count // 10 + line
    return {"line": line, "n": n} | ({"dies": ("before", "after")[n // (count // 5) % 2]} if deadly else {})


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("count", [50, 1_000])
def test_each_line_runs_in_the_order_of_enqueueing_though_processes_are_killed(
    server: EmbeddedServer, count: int
) -> None:
    namespace = f"t-{secrets.token_hex(4)}"
    died = 0
    with Queue(server.uri, namespace=namespace) as queue, MongoClient[dict[str, Any]](server.uri) as client:
        queue.limit("line", concurrency=1, by="line", order="fifo")
        for n in range(count):
            queue.new_many([_tags(line, n, count) for line in range(LINES)], limits=["line"], priority=n % 7)
        command = [sys.executable, str(WORKER), server.uri, namespace]
        crew = [subprocess.Popen(command) for _ in range(WORKERS)]
        deadline = time.monotonic() + 1500
        try:
            while queue.size("default"):
                assert time.monotonic() < deadline, queue.stats()
                for place, worker in enumerate(crew):
                    if worker.poll() is not None:
                        died += 1
                        crew[place] = subprocess.Popen(command)
                threading.Event().wait(0.1)
        finally:
            for worker in crew:
                worker.kill()
                worker.wait()
        rows = list(client["mongoq"][f"{namespace}.rows"].find().sort("$natural", 1))
        deaths = {(one["line"], one["n"]) for one in client["mongoq"][f"{namespace}.deaths"].find()}
    for line in range(LINES):
        ran = [n for n, _ in groupby(row["n"] for row in rows if row["line"] == line)]
        assert ran == list(range(count)), f"line {line}"
    deadly = {(line, n) for line in range(LINES) for n in range(count) if "dies" in _tags(line, n, count)}
    assert deaths == deadly, "each of them has killed a process"
    assert len(deadly) // LINES <= died <= len(deadly), "of several lines at once, where one process ran all of them"
    print(f"lines: {LINES} of {count}, {died} processes died")  # noqa: T201
