"""`drain`: no-op tasks through one worker process, deleted on completion and kept.

The limit is the bare driver's pipelined loop. `drain.plain` compares the same figure with the plain loop, which
waits for every reply before it sends the next command.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks import raw
from benchmarks.report import Row, rounds
from benchmarks.setting import Place, Setting
from mongoq import Queue, Task


def drain(setting: Setting) -> list[Row]:
    """Measure each loop on a backlog of its own."""

    def of(run: Callable[[Place], float], keep: float = 0) -> Callable[[], float]:
        return lambda: filled(setting, run, keep)

    repeat = setting.rounds()
    deleting, piped, plain = rounds(
        repeat,
        of(ours),
        of(lambda place: raw.pipelined(place.tasks, raw.delete)),
        of(lambda place: raw.plain(place.tasks)),
    )
    keeping, limit = rounds(repeat, of(ours, 3600), of(lambda place: raw.pipelined(place.tasks, raw.keep), 3600))
    return [
        Row("drain.delete", "tasks/s", deleting, piped),
        Row("drain.keep", "tasks/s", keeping, limit),
        Row("drain.plain", "tasks/s", deleting, plain),
    ]


def filled(setting: Setting, run: Callable[[Place], float], keep: float = 0) -> float:
    """Run on a fresh backlog."""
    with setting.place(keep=keep) as place:
        place.fill(setting.count(100_000))
        return run(place)


def ours(place: Place) -> float:
    """Tasks/s of a burst, from its start to its return."""
    size = place.queue.size()
    began = time.perf_counter()
    place.queue.run(no_op, burst=True)
    rate = size / (time.perf_counter() - began)
    expect_empty(place.queue)
    return rate


def expect_empty(queue: Queue) -> None:
    """Refuse the figure of a burst that left something."""
    if queue.size():
        raise AssertionError("the burst ended before the queue was empty")


def no_op(task: Task) -> None:
    """Do nothing."""
