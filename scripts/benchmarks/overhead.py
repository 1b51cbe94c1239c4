"""`async.overhead`: what an operation costs beside its work, in µs of CPU time, on a collection that answers at once.

It is `queue.new` less what the task itself takes: to be checked, encoded and made. No server is asked, and the time of
the processor is read, so a busy machine disturbs it little. The blocking driver runs the same operation beside it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from benchmarks.report import Row
from benchmarks.setting import Setting
from mongoq import NewTask
from mongoq.api import producing
from mongoq.api.base import Base
from mongoq.api.verb import Awaited, Blocking
from mongoq.core.clock import FrozenClock
from mongoq.core.events import Telemetry
from mongoq.core.host.keys import KeyMaker
from mongoq.core.options import checked_options
from mongoq.storage.context import Context
from mongoq.storage.documents import drafting
from mongoq.storage.drivers.awaited.connection import AsyncConnection
from mongoq.storage.drivers.awaited.driver import AsyncDriver
from mongoq.storage.drivers.blocking import BlockingDriver
from mongoq.storage.drivers.connection import Connection
from mongoq.storage.drivers.steps import Stepper

OPERATIONS: Final = 5_000
TAGS: Final = {"user": 42, "template": "welcome"}


class Database:
    """A database of one collection, which is the database itself."""

    client = None
    name = "stub"

    def get_collection(self, name: str, **options: Any) -> Any:  # noqa: ARG002 -- as PyMongo's
        """The collection."""
        return self


class AtOnce(Database):
    """Answers an insert at once."""

    def insert_one(self, document: Any) -> None:
        """Do nothing."""


class AwaitedAtOnce(Database):
    """Answers an awaited insert at once."""

    async def insert_one(self, document: Any) -> None:
        """Do nothing."""


class Ready(Base):
    """The inside of a queue whose indexes are there."""

    def __init__(self, driver: Any) -> None:
        options = checked_options(
            namespace="bench", max_age=None, workers=None, grace=25, max_task_bytes=2**20, error_queue=None, policy={},
            claimant=None,
        )  # fmt: skip
        context = Context(FrozenClock(), options, KeyMaker())
        super().__init__(context, driver, Telemetry(), "bench", lambda: driver)
        self._ready = True


class BlockingStub(Blocking):
    """A queue that only enqueues."""

    def __init__(self) -> None:
        self._base = Ready(BlockingDriver(Connection(AtOnce()), Stepper(FrozenClock())))

    new = producing.blocking.new


class AwaitedStub(Awaited):
    """A queue that only enqueues, awaited."""

    def __init__(self) -> None:
        blocking = Connection(AtOnce())
        self._base = Ready(AsyncDriver(AsyncConnection(AwaitedAtOnce(), lambda: blocking), Stepper(FrozenClock())))

    new = producing.awaited.new


def overhead(setting: Setting) -> list[Row]:
    """Measure both drivers by turns with what the tasks alone take."""
    count = setting.count(OPERATIONS)
    awaited, blocking = [], []
    for _ in range(setting.rounds() + 1):  # the first one warms up
        alone = _of(_made(), count)
        awaited.append(asyncio.run(_of_awaited(AwaitedStub().new, count)) - alone)
        blocking.append(_of(BlockingStub().new, count) - alone)
    return [Row("async.overhead", "µs", awaited[1:]), Row("async.overhead.blocking", "µs", blocking[1:])]


def _made() -> Callable[[Any], Any]:
    context = Ready(BlockingDriver(Connection(AtOnce()), Stepper(FrozenClock()))).context

    def make(tags: Any) -> Any:
        return drafting.made(context, drafting.draft(context, NewTask(tags)), None)

    return make


def _of(function: Callable[[Any], Any], count: int) -> float:
    began = time.thread_time()
    for _ in range(count):
        function(TAGS)
    return (time.thread_time() - began) / count * 1e6


async def _of_awaited(function: Callable[[Any], Awaitable[Any]], count: int) -> float:
    began = time.thread_time()
    for _ in range(count):
        await function(TAGS)
    return (time.thread_time() - began) / count * 1e6
