"""Chaos: a queue in use while workers and servers are killed, frozen and cut off; then a look at what is left.

`./scripts/chaos --seconds 60 --seed 1`. Producers and workers of all three executors use a replica set of three;
faults come by a schedule made from the seed. In the end everything is brought back, the queue drains, and the
invariants judge what all witnesses wrote down. Exits 1 where any of them is broken, and keeps the record.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from mongoq import Queue
from mongoq.core.errors import StorageError
from proving.auditor import Auditor
from proving.chaos_flow import close_all, set_limits
from proving.chaos_worker import NAMESPACE, queue_of
from proving.cluster import Cluster
from proving.crew import Crew
from proving.director import Director
from proving.history import GONE, Finding, History
from proving.invariants import INVARIANTS
from proving.journal import Journal, read
from proving.waiting import WAITING

STUCK: Final = 90.0
"""Seconds without an ending after which a queue that drains is given up: a poisonous task takes some twenty."""
CATCH_UP: Final = 30.0
MOST_SHOWN: Final = 10


def main() -> None:
    """Parse the command line, do harm, judge."""
    parser = argparse.ArgumentParser(prog="./scripts/chaos", description="Harm a queue in use, and judge what is left.")
    parser.add_argument("--seconds", type=float, default=60, help="for how long faults happen (default: 60)")
    parser.add_argument("--seed", type=int, default=1, help="what the schedule of faults is made from (default: 1)")
    parser.add_argument("--rate", type=float, default=60, help="new tasks per second (default: 60)")
    parser.add_argument("--folder", type=Path, help="where to keep the record; default: only kept when it is broken")
    parser.add_argument("--judge", type=Path, metavar="FOLDER", help="no run: judge the record of an earlier one")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all processes are ended
    with ExitStack() as stack:
        folder = arguments.judge or arguments.folder or Path(tempfile.mkdtemp(prefix="mongoq-chaos-"))
        if arguments.judge is None:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                parser.error(f"--folder: {folder} is not empty")
            run(folder, seconds=arguments.seconds, seed=arguments.seed, rate=arguments.rate)
        history = History(read(folder))
        findings = [invariant(history) for invariant in (*INVARIANTS, *WAITING)]
        broken = any(finding.broken for finding in findings)
        told = {"folder": str(folder), **facts(history)}
        show(told, findings, as_json=arguments.json)
        if not (broken or arguments.folder or arguments.judge):
            stack.callback(_remove, folder)
    sys.exit(broken)


def run(folder: Path, *, seconds: float, seed: int, rate: float) -> None:
    """Use a queue, harm it for so long, let it drain, and leave the record in `folder`."""
    journal = Journal(folder, "director")
    journal.write("run", seed=seed, seconds=seconds, rate=rate)
    with Cluster(3) as cluster, queue_of(cluster.uri) as queue:
        queue.init()
        set_limits(queue)
        auditor = Auditor(cluster.uri, "mongoq", f"{NAMESPACE}.tasks", journal)
        with Crew(cluster.uri, folder, journal, seed=seed, rate=rate) as crew:
            try:
                Director(cluster, crew, journal, seed).play(seconds)
            finally:
                cluster.restore()
            crew.stop_producing()
            close_all(queue)
            _drain(queue)
        auditor.finish(CATCH_UP)


def _drain(queue: Queue) -> None:
    """Wait until all tasks have ended, as long as some do."""
    smallest, moved = sys.maxsize, time.monotonic()
    while smallest and time.monotonic() - moved < STUCK:
        with suppress(StorageError):
            size = queue.size()
            if size < smallest:
                smallest, moved = size, time.monotonic()
        time.sleep(0.1)


def facts(history: History) -> dict[str, Any]:
    """What happened, in numbers."""
    returned = Counter(line["key"] for line in history.of("returned"))
    states = Counter(document["state"] for document in history.documents.values())
    states[GONE] = len(history.deleted())
    heard = sorted(float(line["at"]) for line in history.of("claimed"))
    asked = history.of("run")[0] if history.of("run") else {}
    return {
        **{name: asked.get(name) for name in ("seed", "seconds", "rate")},
        "tasks": len(history.changes),
        "claims": sum(len(line["tasks"]) for line in history.of("claimed")),
        "done more than once": sum(count > 1 for count in returned.values()),
        "leases lost": len(history.of("task.lease_lost")),
        "longest gap between claims": round(max((b - a for a, b in pairwise(heard)), default=0), 2),
        "states": dict(states.most_common()),
        "faults": dict(Counter(line["kind"] for line in history.of("fault")).most_common()),
        "worker processes": len(history.of("began")),
    }


def show(told: dict[str, Any], findings: list[Finding], *, as_json: bool) -> None:
    """Print what happened and what the invariants say of it."""
    if as_json:
        rows = [{"name": f.name, "judged": f.judged, "excused": f.excused, "broken": len(f.broken)} for f in findings]
        print(json.dumps({**told, "invariants": rows}), flush=True)
    else:
        table = Table(title=f"chaos, seed {told['seed']}, {told['seconds']} s")
        for column in ("invariant", "judged", "excused", "broken"):
            table.add_column(column, justify="left" if column == "invariant" else "right")
        for finding in findings:
            table.add_row(finding.name, f"{finding.judged:,}", f"{finding.excused:,}", f"{len(finding.broken):,}")
        console = Console()
        console.print(table)
        for name, value in told.items():
            console.print(f"{name}: {value}", highlight=False)
    for finding in findings:
        for text in finding.broken[:MOST_SHOWN]:
            print(f"{finding.name}: {text}", file=sys.stderr)
    if any(finding.broken for finding in findings):
        print(f"broken; the record is in {told['folder']}", file=sys.stderr)


def _remove(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


if __name__ == "__main__":
    main()
