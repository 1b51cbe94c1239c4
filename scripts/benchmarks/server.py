"""A server of a benchmark's own."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from mongoq.embedded.server import open_embedded


def cpu_seconds(client: MongoClient[Any]) -> float:
    """The CPU time of the mongod so far; it has to run on this host."""
    pid = client.admin.command("serverStatus")["pid"]
    spent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, spent)) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def embedded() -> Iterator[str]:
    """Give the URI of a server of our own, which has stopped when its folder is removed."""
    with tempfile.TemporaryDirectory(prefix="mongoq-bench-") as name:
        try:
            with open_embedded(name) as server:
                yield server.uri
        finally:
            deadline = time.monotonic() + 20
            while Path(name, "server.json").exists() and time.monotonic() < deadline:
                time.sleep(0.02)
