"""Load: what one machine holds. Each row's name is one thing made large: `./scripts/load waiting`.

    waiting       10,000,000 tasks waiting
    queues        1,000 queues, ten worker processes with a hundred each
    priorities    100,000 distinct priorities
    fleet         64 worker processes on one queue
    payloads      tasks of 1 MiB

Each tells the rates of enqueueing and of draining, the memory of the largest worker and of the server, and the
room on disk before anything was drained. `--scale 0.01` makes all of it a hundredth as large.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from pymongo import MongoClient
from rich.console import Console
from rich.table import Column, Table

from benchmarks.fleet import Fleet
from benchmarks.report import Row, show
from benchmarks.server import embedded
from benchmarks.setting import Place, Setting
from benchmarks.worker import Spec
from mongoq import NewTask

PORTION: Final = 20_000
"""How many tasks are enqueued and drained where there are too many to do it with all."""
CHUNK: Final = 5_000
LOOK: Final = 0.2
STUCK: Final = 60.0
"""Seconds without progress after which a drain is given up."""


def main() -> None:
    """Parse the command line and try what it names."""
    parser = argparse.ArgumentParser(prog="./scripts/load", description="Try what one machine holds.")
    parser.add_argument("names", nargs="+", metavar="NAME", choices=LOADS, help=", ".join(LOADS))
    parser.add_argument("--scale", type=float, default=1, help="make everything so many times as large (default: 1)")
    parser.add_argument("--uri", help="a MongoDB to run on; default: an embedded one in a temporary folder")
    parser.add_argument("--json", action="store_true", help="print one JSON object per name")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.ExitStack() as stack:
        uri = arguments.uri or stack.enter_context(embedded())
        client: MongoClient[Any] = stack.enter_context(MongoClient(uri, tz_aware=True))
        setting = Setting(uri, client)
        for name in arguments.names:
            figures = LOADS[name](setting, arguments.scale)
            rows = [Row(f"{name}.{what}", unit, [figure]) for what, unit, figure in figures]
            tell(name, rows, as_json=arguments.json)


def tell(name: str, rows: Sequence[Row], *, as_json: bool) -> None:
    """Print the rows: without the columns that only a benchmark has, where people read them."""
    if as_json:
        show(name, rows, as_json=True)
        return
    table = Table("row", Column("figure", justify="right"), "unit", title=f"load: {name}")
    for row in rows:
        table.add_row(row.name, f"{row.as_json()['figure']:,}", row.unit)
    Console().print(table)


Figures = list[tuple[str, str, float]]


def waiting(setting: Setting, scale: float) -> Figures:
    """Enqueue and drain a portion in front of as many as asked for."""
    count = _scaled(10_000_000, scale)
    portion = min(PORTION, count)
    with setting.place() as place:
        began = time.perf_counter()
        place.fill(count)
        filled = count / (time.perf_counter() - began)
        made = _enqueued(place, (NewTask({"user": number}) for number in range(portion)), portion)
        room = _room(setting, place)
        drained = _drained(setting, [Spec(place.queue.namespace)], portion)
    return [("waiting", "tasks", count), ("fill", "tasks/s", filled), *made, *room, *drained]


def queues(setting: Setting, scale: float) -> Figures:
    """Spread tasks over many queues, and workers over the queues."""
    names = [f"queue-{number}" for number in range(_scaled(1_000, scale))]
    count = _scaled(100_000, scale)
    tasks = (NewTask({"user": number}, queue=names[number % len(names)]) for number in range(count))
    with setting.place() as place:
        made = _enqueued(place, tasks, count)
        room = _room(setting, place)
        specs = [Spec(place.queue.namespace, queues=names[at : at + 100]) for at in range(0, len(names), 100)]
        drained = _drained(setting, specs, count)
    return [("queues", "", len(names)), *made, *room, *drained]


def priorities(setting: Setting, scale: float) -> Figures:
    """Give every task a priority of its own."""
    count = _scaled(100_000, scale)
    with setting.place() as place:
        made = _enqueued(place, (NewTask({"user": n}, priority=n * 7919 % count) for n in range(count)), count)
        room = _room(setting, place)
        drained = _drained(setting, [Spec(place.queue.namespace)], count)
    return [("priorities", "", count), *made, *room, *drained]


def fleet(setting: Setting, scale: float) -> Figures:
    """Let many processes drain one queue."""
    size, count = _scaled(64, scale), _scaled(100_000, scale)
    with setting.place() as place:
        made = _enqueued(place, (NewTask({"user": number}) for number in range(count)), count)
        room = _room(setting, place)
        drained = _drained(setting, [Spec(place.queue.namespace)] * size, count)
    return [("processes", "", size), *made, *room, *drained]


def payloads(setting: Setting, scale: float) -> Figures:
    """Let every task carry a payload of 1 MiB."""
    count = _scaled(2_000, scale)
    blob = os.urandom(2**20)  # what the server cannot compress
    with setting.place(max_task_bytes=2 * 2**20) as place:
        made = _enqueued(place, (NewTask({"user": number}, payload=blob) for number in range(count)), count, 100)
        room = _room(setting, place)
        drained = _drained(setting, [Spec(place.queue.namespace)], count)
    return [("payloads", "MiB", count), *made, *room, *drained]


LOADS: Final[dict[str, Callable[[Setting, float], Figures]]] = {
    "waiting": waiting,
    "queues": queues,
    "priorities": priorities,
    "fleet": fleet,
    "payloads": payloads,
}


def _scaled(count: int, scale: float) -> int:
    return max(1, round(count * scale))


def _enqueued(place: Place, tasks: Iterable[NewTask], count: int, chunk: int = CHUNK) -> Figures:
    """Enqueue with `new_many`; tasks/s."""
    began = time.perf_counter()
    for some in _chunks(iter(tasks), chunk):
        place.queue.new_many(some)
    return [("enqueue", "tasks/s", count / (time.perf_counter() - began))]


def _chunks(tasks: Iterator[NewTask], size: int) -> Iterator[list[NewTask]]:
    while chunk := list(islice(tasks, size)):
        yield chunk


def _room(setting: Setting, place: Place) -> Figures:
    """Return what the server needs for it, in memory and on disk."""
    setting.client.admin.command("fsync")  # the sizes are those of the last checkpoint
    stats = place.tasks.database.command("collStats", place.tasks.name)
    disk = (stats["storageSize"] + stats["totalIndexSize"]) / 2**20
    return [("disk", "MB", disk), ("server.waiting", "MB", _resident(setting))]


def _drained(setting: Setting, specs: Sequence[Spec], count: int) -> Figures:
    """Drain so many; tasks/s of all workers from their first task on, and what they need for it."""
    with Fleet(setting.uri, specs) as workers:
        workers.go()
        began = moved = time.monotonic()
        done, largest, together, first = 0, 0.0, 0.0, 0
        while done < count:
            time.sleep(LOOK)
            told, now = workers.all_facts(), time.monotonic()
            so_far = sum(each["done"] for each in told)
            if not done and so_far:
                began, first = now, so_far
            if so_far > done:
                done, moved = so_far, now
            elif now - moved > STUCK:
                raise AssertionError(f"{done:,} of {count:,} tasks are done, and nothing moves")
            largest = max(largest, *(each["rss"] for each in told), 0.0)
            together = max(together, sum(each["rss"] for each in told))
        connections = setting.client.admin.command("serverStatus")["connections"]["current"]
        server = _resident(setting)
    rate = (done - first) / (moved - began) if moved > began else done / LOOK
    return [
        ("drain", "tasks/s", rate), ("worker", "MB", largest), ("workers", "MB", together),
        ("server", "MB", server), ("connections", "", connections),
    ]  # fmt: skip


def _resident(setting: Setting) -> float:
    return float(setting.client.admin.command("serverStatus")["mem"]["resident"])


if __name__ == "__main__":
    main()
