"""Run benchmarks: `./scripts/bench drain --json`."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from typing import Any

from pymongo import MongoClient

from benchmarks.bench import BENCHMARKS, Setting
from benchmarks.report import show
from mongoq.storage.embedded import open_embedded


def main() -> None:
    """Parse the command line and run what it names."""
    parser = argparse.ArgumentParser(prog="./scripts/bench", description="Measure mongoq beside bare pymongo.")
    parser.add_argument("names", nargs="+", metavar="NAME", choices=BENCHMARKS, help=", ".join(BENCHMARKS))
    parser.add_argument("--uri", help="a MongoDB to measure on; default: an embedded one in a temporary folder")
    parser.add_argument("--json", action="store_true", help="print one JSON object per benchmark")
    parser.add_argument("--repeat", type=int, default=5, help="rounds of each row; the median counts (default: 5)")
    parser.add_argument("--tasks", type=int, default=50_000, help="tasks per round (default: 50,000)")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        uri = arguments.uri
        if uri is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mongoq-bench-"))
            uri = stack.enter_context(open_embedded(folder)).uri
        client: MongoClient[Any] = stack.enter_context(MongoClient(uri, tz_aware=True))
        setting = Setting(client, arguments.repeat, arguments.tasks)
        for name in arguments.names:
            show(name, BENCHMARKS[name](setting), as_json=arguments.json)


if __name__ == "__main__":
    main()
