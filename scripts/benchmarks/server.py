"""A server of a benchmark's own."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from mongoq.embedded.server import open_embedded


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
