"""Run benchmarks: `./scripts/bench drain --json`."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from benchmarks.bench import BENCHMARKS
from benchmarks.report import show
from benchmarks.setting import Setting
from mongoq.embedded.server import open_embedded


def main() -> None:
    """Parse the command line and run what it names."""
    parser = argparse.ArgumentParser(prog="./scripts/bench", description="Measure mongoq beside bare pymongo.")
    parser.add_argument("names", nargs="+", metavar="NAME", choices=BENCHMARKS, help=", ".join(BENCHMARKS))
    parser.add_argument("--uri", help="a MongoDB to measure on; default: an embedded one in a temporary folder")
    parser.add_argument("--json", action="store_true", help="print one JSON object per benchmark")
    parser.add_argument("--repeat", type=_positive, help="rounds; the median counts (default: 5; churn: 1)")
    parser.add_argument("--tasks", type=_positive, help="tasks per round (default: each benchmark's own)")
    parser.add_argument("--seconds", type=float, help="how long idle and churn watch (default: 20 and 300)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that workers and namespaces are cleared away
    with contextlib.ExitStack() as stack:
        uri = arguments.uri or stack.enter_context(embedded())
        client: MongoClient[Any] = stack.enter_context(MongoClient(uri, tz_aware=True))
        setting = Setting(uri, client, arguments.repeat, arguments.tasks, arguments.seconds)
        for name in arguments.names:
            show(name, BENCHMARKS[name](setting), as_json=arguments.json)


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


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


if __name__ == "__main__":
    main()
