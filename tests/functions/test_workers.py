"""Workers that run task functions, on a server: on every executor, by name, with what nobody knows left alone."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mongoq import AsyncQueue, AsyncTasks, ConfigurationError, IndexMissing, Queue, Task, Tasks


@pytest.fixture(scope="module")
def shop() -> Iterator[Any]:
    sys.path.insert(0, str(Path(__file__).parent))
    yield importlib.import_module("shop_functions")
    sys.path.pop(0)
    sys.modules.pop("shop_functions")


@pytest.fixture
def queue(make_queue: Callable[..., Queue]) -> Queue:
    return make_queue(workers=2, max_retries=0)


@pytest.mark.parametrize("executor", ["threads", "asyncio", "processes"])
def test_functions_run_on_every_executor(queue: Queue, shop: Any, executor: str) -> None:
    queue.include(shop.tasks)
    sum_of = shop.total.new([shop.Line("a", Decimal("1.10")), shop.Line("b", Decimal("2.20"))], due=date(2026, 8, 1))
    where = shop.process_id.new()
    first = shop.attempts.new(more=2)
    odd = shop.of_wrong_kind.new()

    queue.run(executor=executor, burst=True)

    assert sum_of.result(timeout=60) == Decimal("3.30")
    assert (where.result(timeout=60) == os.getpid()) is (executor != "processes")
    assert first.result(timeout=60) == 3
    assert queue.get(odd.key).result == "text"


def test_coroutine_functions_and_plain_ones_run_side_by_side(queue: Queue) -> None:
    @queue.task
    async def awaited(number: int) -> int:
        await asyncio.sleep(0)
        return number

    @queue.task
    def plain(number: int) -> int:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return number

    handles = [awaited.new(1), plain.new(2)]
    queue.run(burst=True)

    assert [handle.result(timeout=60) for handle in handles] == [1, 2]
    with pytest.raises(ConfigurationError, match="coroutines need 'asyncio'"):
        queue.run(executor="threads")


def test_a_task_that_no_worker_knows_is_left_shown_as_unhandled_and_in_nobody_s_way(
    queue: Queue, until: Callable[..., None]
) -> None:
    @queue.task
    def known(number: int) -> int:
        return number

    queue.new(name="of_a_later_release", priority=9)
    queue.new({"n": 1}, priority=9)
    handle = known.new(3)
    worker = queue.start()

    assert handle.result(timeout=60) == 3
    until(lambda: queue.workers() and queue.workers()[0].names == ("known",), why="its heartbeat names what it knows")
    stats = queue.stats()["default"]
    assert (stats.ready, stats.unhandled) == (2, 2)
    worker.stop()
    done: list[str | None] = []
    queue.run(lambda task: done.append(task.name), burst=True)
    assert sorted(done, key=str) == [None, "of_a_later_release"]
    assert queue.stats()["default"].unhandled == 0


def test_stats_count_the_tasks_of_one_function(queue: Queue) -> None:
    @queue.task(name="known")
    def known(number: int) -> int:
        return number

    known.new(1)
    known.options(queue="mail", delay=60).new(2)
    queue.new_many([{"n": number} for number in range(3)])
    queue.new(name="known@2")
    queue.new(name="knownothers")
    assert {name: (row.ready, row.scheduled) for name, row in queue.stats(name="known").items()} == {
        "default": (2, 0), "mail": (0, 1),
    }  # fmt: skip
    assert queue.stats(name="known@2")["default"].ready == 1
    assert queue.stats(name="known")["default"].unhandled == 2, "no worker lives"
    assert queue.stats(name="nobody") == {}
    with pytest.raises(ConfigurationError, match="name"):
        queue.stats(name="")


def test_a_function_runs_the_tasks_of_its_aliases_and_of_its_revision_alone(queue: Queue) -> None:
    ran: list[tuple[str, int]] = []

    def first(number: int) -> None:
        ran.append(("first", number))

    old, new = Tasks(), Tasks()
    old.task(name="greet", aliases=["hello"])(first)
    second = new.task(name="greet", revision=2)(lambda number: ran.append(("second", number)))
    queue.include(old)
    queue.new({"number": 1}, name="hello")
    queue.new({"number": 2}, name="greet")
    queue.new({"number": 3}, name="greet@2")
    queue.run(burst=True)
    assert sorted(ran) == [("first", 1), ("first", 2)]

    queue.include(new)
    second.new(4)
    queue.run(burst=True)
    assert sorted(ran[2:]) == [("second", 3), ("second", 4)]
    assert queue.count(name="greet") == 3
    assert queue.count(name="greet@2") == 2
    assert {task.name for task in queue.tasks(name="hello")} == {"hello"}
    assert queue.delete_all(name="greet@2") == 2


def test_one_function_runs_alone(queue: Queue) -> None:
    ran: list[int] = []
    one = queue.task(name="one")(lambda: ran.append(1))
    other = queue.task(name="other", queue="elsewhere")(lambda: ran.append(2))
    one.new()
    other.new()

    queue.run(other, burst=True)
    assert ran == [2]
    assert queue.run_once() is False
    assert ran == [2, 1]


def test_an_index_for_names_is_made_at_their_first_use(queue: Queue) -> None:
    collection = queue._base.driver.connection.database[queue._base.context.tasks]
    queue.new()
    assert "claim_name" not in collection.index_information()
    queue.new_many([{"a": 1}])
    queue.new(name="welcome")
    assert "claim_name" in collection.index_information()

    collection.drop_index("claim_name")
    ran: list[Task] = []
    welcome = queue.task(name="welcome")(lambda: ran.append)
    with pytest.raises(IndexMissing):  # it is looked for again after that
        queue.run(welcome, burst=True)
    queue.run(welcome, burst=True)
    assert "claim_name" in collection.index_information()
    assert queue.count(name="welcome", state="completed") == 1


def test_functions_of_an_awaited_queue_are_enqueued_and_waited_for_on_the_loop(uri: str, queue: Queue) -> None:
    tasks = AsyncTasks()

    @tasks.task
    async def double(number: int) -> int:
        return number * 2

    @tasks.task
    def plain(text: str) -> str:
        return text.upper()

    async def main() -> None:
        async with AsyncQueue(uri, namespace=queue.namespace, grace=0) as awaited:
            awaited.include(tasks)
            handle = await double.new(21)
            shouted = await plain.options(priority=3).new("a")
            worker = await awaited.start()
            assert await handle.wait(timeout=60)
            assert await handle.result(timeout=60) == 42
            assert await shouted.result(timeout=60) == "A"
            assert shouted.task.priority == 3
            await worker.stop()

    asyncio.run(main())
