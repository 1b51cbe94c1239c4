"""`churn`: the rate in the last minute of a steady drain with producers beside it; of its first 10 s.

On a server that keeps deleted index entries for its snapshot history, 300 s by default, every claim at the head
walks over them. The embedded server keeps none, so the default is set for as long as this runs.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

from pymongo.errors import PyMongoError

from benchmarks import filling
from benchmarks.fleet import Fleet
from benchmarks.report import Row
from benchmarks.setting import Place, Setting
from benchmarks.worker import Spec

HISTORY = "minSnapshotHistoryWindowInSeconds"
DEFAULT_HISTORY = 300
BACKLOG = 20_000
SMALL = 10
CHUNK = 1_000
RAMP = 1.0
"""Seconds before the first that count: the worker's measure of its handlers settles."""


def churn(setting: Setting) -> list[Row]:
    """Drain for minutes, with claims as the worker likes them, and with small ones."""
    rows = []
    with _history(setting):
        for name, most in (("churn", None), ("churn.small", SMALL)):
            steady = partial(_steady, setting, name, most)
            last, first = zip(*(steady() for _ in range(setting.rounds(1))), strict=True)
            rows.append(Row(name, "tasks/s", last, first))
    return rows


@contextmanager
def _history(setting: Setting) -> Iterator[None]:
    """Keep the snapshot history that a server keeps by default."""
    admin = setting.client.admin
    try:
        was = int(admin.command({"setParameter": 1, HISTORY: DEFAULT_HISTORY})["was"])
    except PyMongoError as error:
        setting.note(f"churn runs on whatever history this server keeps: {error}")
        yield
        return
    try:
        yield
    finally:
        admin.command({"setParameter": 1, HISTORY: was})


def _steady(setting: Setting, name: str, most: int | None) -> tuple[float, float]:
    """Tasks/s at the end and at the beginning."""
    seconds = setting.duration(300)
    first, last = min(10.0, seconds / 4), min(60.0, seconds / 4)
    marks = (RAMP, RAMP + first, RAMP + seconds - last, RAMP + seconds)
    backlog = setting.count(BACKLOG)
    with setting.place() as place:
        place.fill(backlog)
        with Fleet(setting.uri, [Spec(place.queue.namespace, most=most)]) as fleet, _producer(place, backlog) as lows:
            fleet.go()
            began = time.monotonic()
            facts = []
            for mark in marks:
                time.sleep(max(0.0, began + mark - time.monotonic()))
                facts.append(fleet.facts())
        if most is not None and facts[-1]["done"] > most * facts[-1]["claims"]:
            raise AssertionError("the claims were not small: benchmarks.worker patches what the worker does not use")
        if min(lows) < backlog // 20:
            setting.note(f"{name}: the backlog fell to {min(lows):,}: what is measured may be the producer")
    early, late = _rate(facts[0], facts[1]), _rate(facts[2], facts[3])
    return late, early


def _rate(before: dict[str, Any], after: dict[str, Any]) -> float:
    rate: float = (after["done"] - before["done"]) / (after["now"] - before["now"])
    return rate


@contextmanager
def _producer(place: Place, backlog: int) -> Iterator[list[int]]:
    """Keep a backlog from another thread; gives the sizes that it found."""
    over = threading.Event()
    found = [backlog]

    def produce() -> None:
        made = filling.documents(place.tasks, place.queue, 10**12)
        while not over.is_set():
            left = place.left()
            found.append(left)
            if left < backlog:
                place.tasks.insert_many(list(itertools.islice(made, CHUNK)))
            else:
                over.wait(0.005)

    with ThreadPoolExecutor(1) as pool:
        producing = pool.submit(produce)
        try:
            yield found
        finally:
            over.set()
        producing.result()
