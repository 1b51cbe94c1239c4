"""Mistakes with task functions that both type checkers must find, as in `bad.py`."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from mongoq import AsyncTasks, Attempt, Done, Queue, Tasks

queue = Queue()
tasks = Tasks()
awaited = AsyncTasks()


@queue.task(max_retries=5)
def welcome(user: int, template: str = "plain") -> Decimal:
    return Decimal(user)


@queue.task(batch=100)
def index(documents: list[str]) -> list[int]:
    return [len(document) for document in documents]


@tasks.task
def live(attempt: Attempt, number: int) -> str:
    return str(number)


@tasks.task
async def fetch(attempt: Attempt, url: str) -> bytes:
    return url.encode()


@awaited.task
async def greet(name: str) -> str:
    return name


@tasks.task
def split(day: date) -> Done[int]:
    return Done(1, then=[welcome.call(42)])


def blocking() -> None:
    welcome.new("42")  # error: argument
    welcome.new()  # error: option
    welcome.new(42, templat="gold")  # error: option
    welcome.call(42, template=3)  # error: argument
    welcome(None)  # error: argument
    welcome.options(priorty=9)  # error: option
    welcome.options(priority="high")  # error: argument
    live.new(1, attempt=None)  # error: option
    live.new(None, 1)  # error: call
    live.call("1")  # error: argument
    fetch.new(url=3)  # error: argument
    paid: str = welcome.new(42).result(timeout=10)  # error: result
    number: str = split.new(date(2026, 8, 1)).result()  # error: result
    welcome.new(42).key.result  # error: attribute
    queue.task(max_retrys=5)  # error: overload
    queue.include(3)  # error: argument
    index.new(["a page"])  # error: argument
    index.new("a page", "another")  # error: call
    pages: list[int] = index.new("a page").result()  # error: result


async def on_a_loop() -> None:
    greet.new("ada")  # error: await
    greet.new("ada").result()  # error: attribute
    handle = await greet.new("ada")
    handle.result()  # error: await
    told: int = await handle.result(timeout=3)  # error: result
    await greet.new(3)  # error: argument
    await welcome.new(42)  # error: tempo
    await fetch(3)  # error: argument
