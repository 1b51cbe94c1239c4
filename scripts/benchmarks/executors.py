"""`executors`: no-op handlers in threads, waiting ones on a loop, computing and no-op ones in child processes.

Rates are those between the first and the last group of endings written, so that the start of threads, loop and
children is not in them. The limits: for asyncio a bare loop with as many coroutines at once; for processes that
compute two bare processes that compute the same.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks import filling, handlers
from benchmarks.contention import overall
from benchmarks.drain import expect_empty, no_op
from benchmarks.fleet import Fleet
from benchmarks.report import Row, rounds
from benchmarks.setting import Place, Setting
from benchmarks.worker import Spec
from mongoq import ConfigurationError
from mongoq.core.events import Signpost

AT_ONCE = 1_000
CHILDREN = 2


def executors(setting: Setting) -> list[Row]:
    """Measure those that this version has."""
    threads = rounds(setting.rounds(), partial(_threads, setting, setting.count(50_000)))
    rows = [Row("executors.threads", "tasks/s", *threads)]
    napping = setting.count(20_000)
    rows += _if_there(
        setting, "executors.asyncio", partial(_asyncio, setting, napping), lambda: asyncio.run(_naps(napping))
    )
    rows += _computing(setting, "executors.processes", seconds=0.02, tasks=setting.count(20_000) // 50)
    rows += _computing(setting, "executors.processes.1ms", seconds=0.001, tasks=setting.count(20_000) // 5)
    no_ops = partial(_processes, setting, setting.count(20_000), 0)
    return rows + _if_there(setting, "executors.processes.noop", no_ops)


def _computing(setting: Setting, name: str, *, seconds: float, tasks: int) -> list[Row]:
    """Measure child processes whose handler computes for about so long."""
    tasks = max(2 * CHILDREN, tasks)
    steps = handlers.steps_for(seconds)
    return _if_there(setting, name, partial(_processes, setting, tasks, steps), partial(_labour, setting, tasks, steps))


def _if_there(setting: Setting, name: str, *measures: Callable[[], float]) -> list[Row]:
    try:
        return [Row(name, "tasks/s", *rounds(setting.rounds(), *measures))]
    except ConfigurationError as error:
        setting.note(f"{name} is skipped: {error}")
        return []


def _threads(setting: Setting, tasks: int) -> float:
    with setting.place() as place:
        place.fill(tasks)
        return _pace(place, tasks, no_op)


def _asyncio(setting: Setting, tasks: int) -> float:
    with setting.place() as place:
        place.fill(tasks)
        return _pace(place, tasks, handlers.nap, executor="asyncio", workers=AT_ONCE)


def _processes(setting: Setting, tasks: int, steps: int) -> float:
    with setting.place() as place:
        place.fill(tasks, tags={"steps": steps})
        return _pace(place, tasks, handlers.spin, executor="processes", workers=CHILDREN)


def _pace(place: Place, tasks: int, handler: Callable[..., Any], **options: Any) -> float:
    """Tasks/s of a burst between its first endings and its last."""
    written: list[tuple[float, int]] = []

    def listen(name: str, fields: Any) -> None:
        if name == Signpost.FINISHED:
            written.append((time.perf_counter(), fields["count"]))

    stop = place.queue.telemetry.subscribe(listen)
    began = time.perf_counter()
    place.queue.run(handler, burst=True, **options)
    stop()
    expect_empty(place.queue)
    if sum(count for _, count in written) != tasks:
        raise AssertionError("not every ending was told")
    (first, early), (last, _) = written[0], written[-1]
    if early == tasks:  # one group: a smoke
        return tasks / (last - began)
    return (tasks - early) / (last - first)


async def _naps(tasks: int) -> float:
    room = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with room:
            await handlers.nap(None)

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in filling.tags(tasks)))
    return tasks / (time.perf_counter() - began)


def _labour(setting: Setting, tasks: int, steps: int) -> float:
    with Fleet(setting.uri, [Spec(steps=steps, times=tasks // CHILDREN)] * CHILDREN) as fleet:
        fleet.go()
        return overall([fleet.hear() for _ in range(CHILDREN)])
