"""`enqueue`: `new_many`, `new`, `submit` of one thread, and `new` of 64 threads through `buffer`.

The limits are insert_many and insert_one of the same documents under the same indexes; for the buffer and `submit`,
`new` in one thread. `new` and insert_one take turns of a hundred: one after the other, what the machine did meanwhile
made more of a difference (0.72 to 0.97) than they do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks import filling, raw
from benchmarks.report import Row, rounds
from benchmarks.setting import Place, Setting

THREADS = 64
TURN = 100


def enqueue(setting: Setting) -> list[Row]:
    """Measure into an empty namespace each."""
    tasks = setting.count(50_000)
    few = max(THREADS, tasks // 20)

    def of(run: Callable[[Place, int], float], count: int) -> Callable[[], float]:
        def measure() -> float:
            with setting.place() as place:
                return run(place, count)

        return measure

    many, bare_many = rounds(setting.rounds(), of(in_bulk, tasks), of(_bare(raw.insert_many), tasks))
    one, bare_one = zip(*(_by_turns(setting, few) for _ in range(setting.rounds())), strict=True)
    submitted, buffered, alone = rounds(
        setting.rounds(), of(_submit, tasks), of(_buffer, 10 * few), of(one_by_one, few)
    )
    return [
        Row("enqueue.many", "tasks/s", many, bare_many),
        Row("enqueue.one", "tasks/s", one, bare_one),
        Row("enqueue.submit", "tasks/s", submitted, alone),
        Row("enqueue.buffer", "tasks/s", buffered, alone),
    ]


def in_bulk(place: Place, count: int) -> float:
    """Tasks/s of one `new_many`."""
    began = time.perf_counter()
    place.queue.new_many(filling.tags(count))
    return count / (time.perf_counter() - began)


def one_by_one(place: Place, count: int) -> float:
    """Tasks/s of `new`, one after the other."""
    began = time.perf_counter()
    for tags in filling.tags(count):
        place.queue.new(tags)
    return count / (time.perf_counter() - began)


def _by_turns(setting: Setting, count: int) -> tuple[float, float]:
    """Tasks/s of `new`, and of insert_one beside it."""
    with setting.place() as place:
        documents = list(filling.documents(place.tasks, place.queue, count))
        tags = filling.tags(count)
        took = [0.0, 0.0]
        for start in range(0, count, TURN):
            began = time.perf_counter()
            for one in tags[start : start + TURN]:
                place.queue.new(one)
            between = time.perf_counter()
            raw.insert_one(place.tasks, documents[start : start + TURN])
            took[0] += between - began
            took[1] += time.perf_counter() - between
    return count / took[0], count / took[1]


def _submit(place: Place, count: int) -> float:
    began = time.perf_counter()
    for future in [place.queue.submit(tags) for tags in filling.tags(count)]:
        future.result()
    rate = count / (time.perf_counter() - began)
    if place.queue.size() != count:
        raise AssertionError("some that were submitted are lost")
    return rate


def _buffer(place: Place, count: int) -> float:
    tags = filling.tags(count)
    began = time.perf_counter()
    with place.queue.buffer(max_delay=0.005) as buffer, ThreadPoolExecutor(THREADS) as pool:

        def produce(part: int) -> None:
            for one in tags[part::THREADS]:
                buffer.new(one)

        list(pool.map(produce, range(THREADS)))
    rate = count / (time.perf_counter() - began)
    if place.queue.size() != count:
        raise AssertionError("the buffer lost some")
    return rate


def _bare(insert: Callable[[Any, list[dict[str, Any]]], float]) -> Callable[[Place, int], float]:
    """The same documents under the same indexes, made beforehand."""
    return lambda place, count: insert(place.tasks, list(filling.documents(place.tasks, place.queue, count)))
