"""What type checkers must accept and infer of task functions, in both tempos. Nothing here is run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, assert_type

from mongoq import AsyncQueue, AsyncTaskHandle, AsyncTasks, Attempt, Done, NewTask, Queue, Task, TaskHandle, Tasks
from mongoq.testing import Ran, assert_enqueued, perform, run_due

queue = Queue()
awaited_queue = AsyncQueue()
tasks = Tasks()
awaited = AsyncTasks()


@dataclass
class Receipt:
    total: Decimal


@queue.task
def bare(user: int) -> Receipt:
    return Receipt(Decimal(user))


@queue.task(queue="mail", max_retries=5, deadline=30, name="welcome", aliases=["hello"], revision=2)
def welcome(user: int, template: str = "plain") -> Receipt:
    return Receipt(Decimal(user))


@tasks.task
def live(attempt: Attempt, number: int, *, day: date | None = None) -> str | None:
    return None


@tasks.task(priority=3)
async def fetch(task: Task, url: str) -> bytes:
    return url.encode()


@tasks.task
def split(day: date) -> Done[int]:
    return Done(1, then=[welcome.call(42)])


@tasks.task
def anything(event: Any, number: int) -> int:
    return number


@awaited.task
async def greet(name: str) -> list[str]:
    return [name]


@queue.task(batch=100, wait=0.5, max_retries=3)
def index(documents: list[str]) -> list[int]:
    return [len(document) for document in documents]


@queue.task(batch=10)
def notify(attempts: list[Attempt], users: list[int]) -> None: ...


@queue.task(batch=10)
def transfer(users: list[int], amounts: list[Decimal]) -> None: ...


@awaited.task(batch=100)
async def embed(texts: list[str]) -> list[bytes]:
    return [text.encode() for text in texts]


@awaited_queue.task
def shout(name: str) -> str:
    return name.upper()


def enqueue() -> None:
    queue.include(tasks)
    assert_type(bare.new(42), TaskHandle[Receipt])
    assert_type(welcome.new(42, template="gold").result(timeout=10), Receipt)
    assert_type(welcome.options(priority=9, delay=60, unique="welcome-42").new(42), TaskHandle[Receipt])
    assert_type(welcome.call(42), NewTask)
    assert_type(welcome(42), Receipt)
    assert_type(live.new(1, day=date(2026, 8, 1)).result(), str | None)
    assert_type(live.new(1).wait(timeout=3), bool)
    assert_type(live.new(1).task, Task)
    assert_type(fetch.new("https://example.org").result(), bytes)
    assert_type(split.new(date(2026, 8, 1)).result(), int)
    anything.new({"a": 1}, 3)
    assert_type(index.new("a page"), TaskHandle[int])
    assert_type(index("a page"), int)
    assert_type(notify.new(42), TaskHandle[None])
    transfer.new(42, Decimal(1))
    queue.new_many(welcome.call(n) for n in range(3))
    queue.run()
    queue.run(welcome)
    queue.start(executor="threads")


def test() -> None:
    assert_type(perform(welcome, 42, template="gold"), Ran)
    assert_type(perform(fetch, "https://example.org"), Ran)
    assert_type(assert_enqueued(welcome, user=42), list[Task])
    assert_type(run_due(queue), list[Ran])


async def enqueue_awaited() -> None:
    awaited_queue.include(awaited)
    handle = await greet.new("ada")
    assert_type(handle, AsyncTaskHandle[list[str]])
    assert_type(await handle.result(timeout=10), list[str])
    assert_type(await handle.wait(), bool)
    assert_type(await (await embed.new("a page")).result(), bytes)
    assert_type(await greet("ada"), list[str])
    assert_type(await (await shout.options(priority=9).new("ada")).result(), str)
    assert_type(await assert_enqueued(greet, name="ada"), list[Task])
    await awaited_queue.run()
