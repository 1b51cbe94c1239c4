"""`queues`: one worker that serves 1,000 and 10,000 queues of which a few have work; of one that serves that one queue.

`queues.all` has as many tasks in 1,000 queues, all of which have work.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence

from benchmarks import filling
from benchmarks.drain import expect_empty, no_op
from benchmarks.report import Row, rounds
from benchmarks.setting import Setting

FEW = 5
CHUNK = 5_000


def queues(setting: Setting) -> list[Row]:
    """Drain the same backlog, spread over so many queues."""
    count = setting.count(100_000)

    def of(served: int, filled: int) -> Callable[[], float]:
        return lambda: _drained(setting, count, names(served), filled)

    thousand, many, whole, one = rounds(setting.rounds(), of(1_000, FEW), of(10_000, FEW), of(1_000, 1_000), of(1, 1))
    return [
        Row("queues.1000", "tasks/s", thousand, one),
        Row("queues.10000", "tasks/s", many, one),
        Row("queues.all", "tasks/s", whole, one),
    ]


def names(count: int) -> list[str]:
    """The names of so many queues."""
    return [f"tenant/{number:05}" for number in range(count)]


def _drained(setting: Setting, count: int, served: Sequence[str], filled: int) -> float:
    """Tasks/s of a burst over these queues, of which so many share the tasks."""
    step = max(1, len(served) // filled)
    busy = itertools.cycle(served[::step][:filled])
    with setting.place() as place:
        made = ({**one, "queue": next(busy)} for one in filling.documents(place.tasks, place.queue, count))
        while chunk := list(itertools.islice(made, CHUNK)):
            place.tasks.insert_many(chunk)
        began = time.perf_counter()
        place.queue.run(no_op, queues=served, burst=True)
        rate = count / (time.perf_counter() - began)
        expect_empty(place.queue)
        return rate
