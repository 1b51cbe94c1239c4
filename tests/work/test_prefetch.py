"""What a worker holds beyond what it runs: as much as it may, and in order where that is asked for."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mongoq import NewTask, Queue
from mongoq.embedded.server import EmbeddedServer
from mongoq.worker.services.prefetch import MOST_AHEAD, MOST_BYTES

REPLY = 16 * 2**20
"""The most that one claim brings, in bytes."""
EXECUTORS = (("threads", "calls"), ("asyncio", "calls_on_a_loop"), ("processes", "calls"))


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module whose functions children can import: they get this process's `sys.path`."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    yield importlib.import_module("process_handlers")
    sys.modules.pop("process_handlers")


def overtakers(queue: Queue, events: Any) -> dict[str, list[str]]:
    """Which tasks started after a more urgent one was enqueued and before that one did, by the key of the latter."""
    started = [fields["task"].key for fields in events.of("task.started")]
    found = {}
    for task in queue.tasks(limit=None):
        if task.get("calls"):
            urgent = f"urgent {task.key}"
            between = started[started.index(task.key) + 1 : started.index(urgent)]
            found[urgent] = [key for key in between if not key.startswith("urgent")]
    return found


def claims_of(events: Any) -> dict[str, float]:
    """When the claim of each task was sent."""
    return {task.key: fields["sent"] for fields in events.of("tasks.claimed") for task in fields["tasks"]}


@pytest.fixture
def callers(make_queue: Callable[..., Queue], server: EmbeddedServer) -> Queue:
    """A queue of quick tasks, some of which enqueue a more urgent one."""
    queue = make_queue(workers=1)
    queue.new_many([{"calls": number > 20 and number % 10 == 0, "uri": server.uri} for number in range(80)])
    return queue


@pytest.mark.parametrize("executor, name", EXECUTORS)
def test_without_prefetch_no_task_waits_while_a_more_urgent_one_becomes_ready(
    callers: Queue, watch: Any, handlers: Any, executor: str, name: str
) -> None:
    events = watch(callers)
    callers.run(getattr(handlers, name), executor=executor, prefetch=0, burst=True)

    found = overtakers(callers, events)
    assert len(found) == 5
    assert set(map(len, found.values())) == {0}


@pytest.mark.parametrize("executor, name", EXECUTORS)
def test_with_prefetch_only_what_was_held_already_starts_before_a_more_urgent_task(
    callers: Queue, watch: Any, handlers: Any, executor: str, name: str
) -> None:
    events = watch(callers)
    callers.run(getattr(handlers, name), executor=executor, burst=True)

    sent = claims_of(events)
    for urgent, before in overtakers(callers, events).items():
        enqueued_at = callers.get(urgent.removeprefix("urgent ")).result
        assert len(before) <= MOST_AHEAD
        assert all(sent[key] < enqueued_at for key in before)


@pytest.mark.parametrize("executor, name", EXECUTORS)
def test_no_more_is_claimed_than_there_is_room_for(
    make_queue: Callable[..., Queue], handlers: Any, executor: str, name: str
) -> None:
    queue = make_queue(workers=3, keep_completed=0)
    queue.new_many([{}] * 150)
    held: list[int] = []
    begun = threading.Lock()

    def listen(event: str, fields: Mapping[str, Any]) -> None:
        if event == "tasks.claimed":
            with begun:
                held.append(handle._engine.ledger.active + len(fields["tasks"]))

    queue.telemetry.subscribe(listen)
    with begun:
        handle = queue.start(getattr(handlers, name), executor=executor, prefetch=3)
    assert queue.join(timeout=30)
    handle.stop()
    assert 0 < max(held) <= 3 + 3


def test_without_prefetch_nothing_is_claimed_for_a_child_that_does_not_run_yet(
    make_queue: Callable[..., Queue], watch: Any, handlers: Any
) -> None:
    queue = make_queue(workers=2)
    events = watch(queue)
    queue.new_many([{}] * 4)
    ready: list[int] = []
    begun = threading.Lock()

    def listen(event: str, fields: Mapping[str, Any]) -> None:
        if event == "tasks.claimed" and fields["tasks"]:
            with begun:
                ready.append(handle._engine._dispatcher.executor.ready)

    queue.telemetry.subscribe(listen)
    with begun:
        handle = queue.start(handlers.returns, executor="processes", prefetch=0)
    events.wait("tasks.finished")
    assert queue.join(timeout=30)
    handle.stop()
    assert min(ready) > 0


def test_of_large_tasks_a_worker_holds_no_more_than_fits(
    make_queue: Callable[..., Queue], gate: Any, until: Callable[..., None]
) -> None:
    queue = make_queue(workers=1, keep_completed=0)
    for _ in range(6):
        queue.load(_large(16))
    held: list[int] = []
    begun = threading.Lock()

    def listen(event: str, fields: Mapping[str, Any]) -> None:
        if event == "tasks.claimed":
            with begun:
                waiting = [attempt.task for attempt in list(handle._engine.ledger._active)] + list(fields["tasks"])
            held.append(sum(len(task.payload or b"") for task in waiting))

    queue.telemetry.subscribe(listen)
    with begun:
        handle = queue.start(gate)
    until(lambda: gate.entered, why="a large task runs")
    handle._engine.ledger.started_at = float("inf")  # what waits too long would be given back
    handle._engine._dispatcher.prefetch.ended(1e-5)  # by the speed of the handlers alone it would take all of them
    handle.wake()
    until(lambda: _full(handle._engine) or not queue.stats()["default"].ready, why="it takes no more")
    gate.opened.set()
    assert queue.join(timeout=60)
    handle.stop()
    assert REPLY / 2 < max(held) <= MOST_BYTES + 2 * REPLY


def _full(engine: Any) -> bool:
    return not engine._dispatcher.room.worth_a_claim and not engine.ledger.asked


def _large(count: int) -> Iterator[Any]:
    return (NewTask(payload=bytes(1_000_000)) for _ in range(count))
