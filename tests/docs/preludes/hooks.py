"""What docs/hooks.md presumes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any, NamedTuple, Self

from mongoq import Attempt, NewTask, Queue, Task

queue = Queue(namespace="hooks")
log = logging.getLogger("shop")
tenant = ContextVar("tenant", default="acme")
request = SimpleNamespace(id="r-1")
sent: list[str] = []


class Resources(NamedTuple):
    """What handlers share."""

    client: Any
    pool: Any


class Client:
    """As much of a client as the page uses."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        sent.append("closed")

    def post(self, *_: object) -> None:
        sent.append("posted")


class Tracer:
    """As much of a tracer as the page uses."""

    def start_as_current_span(self, name: str) -> Any:
        return nullcontext(SimpleNamespace(name=name, record_exception=print))


class Counter:
    """As much of a counter as the page uses."""

    def labels(self, *_: object) -> Counter:
        return self

    def inc(self) -> None:
        sent.append("counted")


httpx = SimpleNamespace(Client=Client)
tracer, failures = Tracer(), Counter()


def current_traceparent() -> str:
    return "00-1-2-01"


def mail(to: str, text: str) -> None:
    sent.append(f"{to}: {text}")


def check() -> None:
    (order,) = queue.tasks(where={"order": 7})
    assert order.context == {"tenant": "acme", "traceparent": "00-1-2-01", "request": "r-1"}
    handler: Any = globals()["send"]
    queue.run_once(handler, limit=1)
    assert sent[:2] == ["posted", "closed"]
