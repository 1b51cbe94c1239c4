"""Run benchmarks: `./scripts/bench drain --json`, or compare two revisions: `./scripts/bench compare HEAD~1`."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from dataclasses import replace
from typing import Any, Final

from pymongo import MongoClient

from benchmarks import compare, document
from benchmarks.bench import BENCHMARKS
from benchmarks.plan import PLAN
from benchmarks.report import show
from benchmarks.server import embedded
from benchmarks.setting import Setting

ALL: Final = "all"


def main() -> None:
    """Parse the command line and run what it names."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that workers and namespaces are cleared away
    if sys.argv[1:2] == ["compare"]:
        compare.main(sys.argv[2:])
        return
    if sys.argv[1:2] == ["document"]:
        document.main(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(
        prog="./scripts/bench",
        description="Measure mongoq beside bare pymongo. 'compare' instead of a NAME sets two revisions side by side.",
    )
    choices = [ALL, *BENCHMARKS]
    named = f"{', '.join(BENCHMARKS)}; {ALL}: every row of docs/performance.md, each with a size that tells enough"
    parser.add_argument("names", nargs="+", metavar="NAME", choices=choices, help=named)
    parser.add_argument("--uri", help="a MongoDB to measure on; default: an embedded one in a temporary folder")
    parser.add_argument("--json", action="store_true", help="print one JSON object per benchmark")
    parser.add_argument("--repeat", type=_positive, help="rounds; the median counts (default: 5; churn: 1)")
    parser.add_argument("--tasks", type=_positive, help="tasks per round (default: each benchmark's own)")
    parser.add_argument("--seconds", type=float, help="how long idle and churn watch (default: 20 and 300)")
    parser.add_argument("--processes", type=_positive, help="of how many the fleets are (default: 8 to 256)")
    arguments = parser.parse_args()
    failed: list[str] = []
    with contextlib.ExitStack() as stack:
        uri = arguments.uri or stack.enter_context(embedded())
        client: MongoClient[Any] = stack.enter_context(MongoClient(uri, tz_aware=True))
        setting = Setting(uri, client, arguments.repeat, arguments.tasks, arguments.seconds, arguments.processes)
        for name in arguments.names:
            for one, sized in planned(setting) if name == ALL else [(name, setting)]:
                try:
                    show(one, BENCHMARKS[one](sized), as_json=arguments.json)
                except (RuntimeError, AssertionError) as error:
                    if name != ALL:
                        raise
                    failed.append(one)
                    setting.note(f"{one} has failed, and the others go on: {error}")
    if failed:
        sys.exit(f"error: no figures of {', '.join(failed)}")


def planned(setting: Setting) -> list[tuple[str, Setting]]:
    """Every benchmark of the plan in its order, with its sizes where the command line gives none."""
    return [
        (
            name,
            replace(
                setting,
                repeat=setting.repeat or size.repeat,
                tasks=setting.tasks or size.tasks,
                seconds=setting.seconds or size.seconds,
            ),
        )
        for name, size in PLAN.items()
    ]


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


if __name__ == "__main__":
    main()
