"""Soak: what grows while nothing should. Workers of each executor and a producer under a steady load, watched for long.

`./scripts/soak --minutes 60`. A tenth of the handlers fails, half of these by a group of errors; a twentieth outruns
its deadline; others fork, start processes and programs, steer their task from within a group, or snooze
(`soak_handlers`). Finished tasks are kept for seconds, so deletion works all the time. Every few seconds a sample is
taken; in the end each figure has a slope per hour: least squares over the second half, because a process and its
server take their time to settle. Then every task must end.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import signal
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

from pymongo import MongoClient
from pymongo.errors import PyMongoError
from rich.console import Console
from rich.table import Column, Table

from benchmarks.fleet import Fleet
from benchmarks.report import Row, show
from benchmarks.server import embedded
from benchmarks.setting import Place, Setting
from mongoq import NewTask
from mongoq.core import lifecycle
from mongoq.core.validation import UNSET
from proving import soak_handlers
from proving.soak_worker import SoakSpec

KEEP: Final = 5.0
"""Seconds for which completed tasks are kept."""
RATE: Final = 200.0
RAMP: Final = 60.0
"""Seconds before the first sample that counts; a tenth of a shorter run."""
TTL: Final = "ttlMonitorSleepSecs"
SHARES: Final = {"threads": 9, "asyncio": 9, "processes": 2}
"""How many of 20 tasks each executor gets: a deadline costs the processes a child, which takes 0.4 s to start."""
WORKERS: Final = {"threads": 10, "asyncio": 100, "processes": 4}
"""Handlers at once."""
LEFT_FOR: Final = 60.0
"""Seconds within which all that was enqueued has ended, once nothing is added."""
LIVE: Final = [state.value for state in lifecycle.LIVE]
UNITS: Final = {
    **dict.fromkeys([f"memory.{executor}" for executor in SHARES], "MB"),
    **dict.fromkeys(["threads", "descriptors", "children"], ""),
    "oldest": "s",
    "claim.p99": "ms",
    "rate": "tasks/s",
    "connections": "",
    "server": "MB",
    "tasks": "",
    "size": "MB",
    "indexes": "MB",
}


def main() -> None:
    """Parse the command line, watch, tell."""
    parser = argparse.ArgumentParser(prog="./scripts/soak", description="Watch for what grows under a steady load.")
    parser.add_argument("--minutes", type=float, default=60, help="for how long (default: 60)")
    parser.add_argument("--rate", type=float, default=RATE, help=f"new tasks per second (default: {RATE:g})")
    parser.add_argument("--every", type=float, default=5, help="seconds between two samples (default: 5)")
    parser.add_argument("--uri", help="a MongoDB to run on; default: an embedded one in a temporary folder")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.ExitStack() as stack:
        uri = arguments.uri or stack.enter_context(embedded())
        client: MongoClient[Any] = stack.enter_context(MongoClient(uri, tz_aware=True))
        samples = watch(Setting(uri, client), arguments.minutes * 60, arguments.rate, arguments.every)
        tell(rows(samples, arguments.minutes * 60), as_json=arguments.json)


def watch(setting: Setting, seconds: float, rate: float, every: float) -> list[dict[str, float]]:
    """Keep the load up for so long; the samples."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_frequent_deletion(setting))
        place = stack.enter_context(setting.place(keep=KEEP))
        specs = [SoakSpec(place.queue.namespace, executor, KEEP, WORKERS[executor]) for executor in SHARES]
        fleet = stack.enter_context(Fleet(setting.uri, specs, "proving.soak_worker"))
        fleet.go()
        with _producer(place, rate):
            samples = _samples(setting, place, fleet, seconds, every)
        _all_end(place)
        return samples


def _samples(setting: Setting, place: Place, fleet: Fleet, seconds: float, every: float) -> list[dict[str, float]]:
    began = time.monotonic()
    before, samples = _facts(fleet), []
    while time.monotonic() - began < seconds:
        time.sleep(every)
        now = _facts(fleet)
        samples.append({"at": now["now"] - began, **_sample(setting, place, before, now)})
        before = now
    return samples


def _facts(fleet: Fleet) -> dict[str, Any]:
    """The figures of the workers together, but for the memory."""
    found = fleet.all_facts()
    whole = {name: sum(one[name] for one in found) for name in ("done", "threads", "descriptors", "children")}
    memory = {f"memory.{one['executor']}": one["rss"] for one in found}
    return (
        {"now": time.monotonic(), "claims_took": [took for one in found for took in one["claims_took"]]}
        | whole
        | memory
    )


def _oldest(place: Place) -> float:
    """The age of the oldest task that has not ended, in seconds."""
    found = place.tasks.find_one({"state": {"$in": LIVE}}, {"created_at": 1}, sort=[("created_at", 1)])
    return (place.queue.time() - found["created_at"]).total_seconds() if found else 0.0


def _all_end(place: Place) -> None:
    """Wait until every task has ended; AssertionError with some that have not."""
    until = time.monotonic() + LEFT_FOR
    while _oldest(place):
        if time.monotonic() > until:
            left = list(place.tasks.find({"state": {"$in": LIVE}}, {"state": 1, "queue": 1, "tags": 1}).limit(10))
            raise AssertionError(f"{place.queue.size()} tasks have not ended, among them {left}")
        time.sleep(0.2)


def rows(samples: list[dict[str, float]], seconds: float) -> list[Row]:
    """Each figure, and by how much it still grows in an hour."""
    ramp = min(RAMP, seconds / 10)
    counted = [sample for sample in samples if sample["at"] >= ramp]
    settled = [sample for sample in counted if sample["at"] >= seconds / 2]
    if len(settled) < 2:
        raise AssertionError(f"{len(settled)} samples are too few for a slope: watch longer, or more often")
    hours = [sample["at"] / 3600 for sample in settled]
    told = []
    for name, unit in UNITS.items():
        figures = [sample[name] for sample in counted]
        slope = statistics.linear_regression(hours, [sample[name] for sample in settled]).slope
        told += [Row(f"soak.{name}", unit, figures), Row(f"soak.{name}.slope", f"{unit}/h", [slope])]
    return told


def tell(figures: list[Row], *, as_json: bool) -> None:
    """Print the figures, each with its slope."""
    if as_json:
        show("soak", figures, as_json=True)
        return
    columns = [Column(name, justify="right") for name in ("median", "min", "max")]
    table = Table("figure", *columns, "unit", Column("slope per hour", justify="right"), title="soak")
    for row, slope in zip(figures[::2], figures[1::2], strict=True):
        told = row.as_json()
        numbers = [f"{told[name]:,}" for name in ("figure", "minimum", "maximum")]
        table.add_row(row.name, *numbers, row.unit, f"{slope.figures[0]:+,.3f}")
    Console().print(table)


def _sample(setting: Setting, place: Place, before: dict[str, Any], now: dict[str, Any]) -> dict[str, float]:
    status = setting.client.admin.command("serverStatus")
    stats = place.tasks.database.command("collStats", place.tasks.name)
    took = sorted(now["claims_took"]) or [0.0]
    return {
        **{name: now[name] for name in UNITS if name in now},
        "oldest": _oldest(place),
        "claim.p99": 1000 * took[math.ceil(0.99 * len(took)) - 1],
        "rate": (now["done"] - before["done"]) / (now["now"] - before["now"]),
        "connections": status["connections"]["current"],
        "server": status["mem"]["resident"],
        "tasks": stats["count"],
        "size": stats["storageSize"] / 2**20,
        "indexes": stats["totalIndexSize"] / 2**20,
    }


def task(number: int) -> NewTask:
    """The task of this number: each executor gets its share, and each of them all kinds."""
    places = [executor for executor, share in SHARES.items() for _ in range(share)]
    kind = soak_handlers.ROUND[number // len(places) % len(soak_handlers.ROUND)]
    deadline = soak_handlers.DEADLINE if kind == "late" else UNSET
    return NewTask({"user": number, "kind": kind}, queue=places[number % len(places)], deadline=deadline)


@contextlib.contextmanager
def _producer(place: Place, rate: float) -> Iterator[None]:
    """Enqueue from another thread, ten times a second."""
    over = threading.Event()
    failed: list[BaseException] = []

    def produce() -> None:
        began, made = time.monotonic(), 0
        while not over.wait(0.1):
            due = int((time.monotonic() - began) * rate)
            try:
                place.queue.new_many(task(number) for number in range(made, due))
            except BaseException as error:  # noqa: BLE001 -- told below
                failed.append(error)
                return
            made = due

    thread = threading.Thread(target=produce, name="producer")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failed:
        raise failed[0]


@contextlib.contextmanager
def _frequent_deletion(setting: Setting) -> Iterator[None]:
    """Let the server delete what has expired every second: at once a minute, sizes go up and down by it."""
    admin = setting.client.admin
    try:
        was = int(admin.command({"setParameter": 1, TTL: 1})["was"])
    except PyMongoError as error:
        setting.note(f"this server deletes as often as it likes: {error}")
        yield
        return
    try:
        yield
    finally:
        admin.command({"setParameter": 1, TTL: was})


if __name__ == "__main__":
    main()
