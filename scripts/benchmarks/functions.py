"""`functions`: a task function of two typed arguments beside a plain handler, drained and enqueued; and many names.

The limits: for `functions.drain` a plain handler on the same tasks without names; for `functions.drain.50`, fifty names
in one worker, one name; for `functions.batch`, a hundred tasks in one call, one task in one call; for `functions.new`
and `functions.many` the same tags without a function. `new` takes turns of a hundred, as in `enqueue`.
"""

from __future__ import annotations

import itertools
import time
from functools import partial

from benchmarks import filling
from benchmarks.drain import expect_empty, no_op
from benchmarks.report import Row, rounds
from benchmarks.setting import Place, Setting

NAMES = 50
TURN = 100


def functions(setting: Setting) -> list[Row]:
    """Measure by turns, each into a namespace of its own."""
    tasks, few = setting.count(100_000), max(TURN, setting.count(100_000) // 40)
    repeat = setting.rounds()
    plain, one, many = rounds(repeat, *(partial(_drain, setting, tasks, names) for names in (0, 1, NAMES)))
    news = [_by_turns(setting, few) for _ in range(repeat)]
    calls, tags = rounds(repeat, partial(_many, setting, tasks // 2, True), partial(_many, setting, tasks // 2, False))
    together, alone = rounds(
        repeat, partial(_batches, setting, tasks // 2, 100), partial(_batches, setting, tasks // 2)
    )
    return [
        Row("functions.batch", "tasks/s", together, alone),
        Row("functions.drain", "tasks/s", one, plain),
        Row(f"functions.drain.{NAMES}", "tasks/s", many, one),
        Row("functions.new", "tasks/s", *zip(*news, strict=True)),
        Row("functions.many", "tasks/s", calls, tags),
    ]


def _welcome(user: int, template: str) -> None:
    """Do nothing."""


def _drain(setting: Setting, tasks: int, names: int) -> float:
    """Tasks/s of a burst over so many names; of a plain handler without one."""
    with setting.place() as place:
        for number in range(names):
            place.queue.task(name=f"welcome_{number}")(_welcome)
        _fill(place, tasks, names)
        began = time.perf_counter()
        place.queue.run(None if names else no_op, burst=True)
        rate = tasks / (time.perf_counter() - began)
        expect_empty(place.queue)
        return rate


def _batches(setting: Setting, tasks: int, batch: int | None = None) -> float:
    """Tasks/s of a burst of a handler that takes lists, or one task at a time."""
    with setting.place() as place:
        _fill(place, tasks, 0)
        began = time.perf_counter()
        place.queue.run(no_op, burst=True, batch=batch)
        rate = tasks / (time.perf_counter() - began)
        expect_empty(place.queue)
        return rate


def _fill(place: Place, tasks: int, names: int) -> None:
    made = filling.documents(place.tasks, place.queue, tasks)
    if names:
        place.queue.new(name="model", queue="model")  # the index for names is there, as it is where names are used
        place.queue.delete_all(queue="model")
        made = (document | {"name": f"welcome_{number % names}"} for number, document in enumerate(made))
    while chunk := list(itertools.islice(made, filling.CHUNK)):
        place.tasks.insert_many(chunk)


def _by_turns(setting: Setting, count: int) -> tuple[float, float]:
    """Tasks/s of a function's `new`, and of a queue's beside it, each in a namespace of its own."""
    with setting.place() as named, setting.place() as plain:
        welcome = named.queue.task(name="welcome")(_welcome)
        welcome.new(0, "first")  # makes the index
        tags = filling.tags(count)
        took = [0.0, 0.0]
        for start in range(0, count, TURN):
            turn = tags[start : start + TURN]
            began = time.perf_counter()
            for one in turn:
                welcome.new(one["user"], template=one["template"])
            between = time.perf_counter()
            for one in turn:
                plain.queue.new(one)
            took[0] += between - began
            took[1] += time.perf_counter() - between
    return count / took[0], count / took[1]


def _many(setting: Setting, count: int, of_function: bool) -> float:
    with setting.place() as place:
        tags = filling.tags(count)
        welcome = place.queue.task(name="welcome")(_welcome)
        if of_function:
            welcome.new(0, "first")
        began = time.perf_counter()
        if of_function:
            place.queue.new_many(welcome.call(one["user"], template=one["template"]) for one in tags)
        else:
            place.queue.new_many(one for one in tags)
        return count / (time.perf_counter() - began)
