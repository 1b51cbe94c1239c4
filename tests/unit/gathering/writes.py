"""A server of which a test decides when it answers."""

from __future__ import annotations

import contextvars
import threading
from types import SimpleNamespace
from typing import Any

from mongoq.core.clock import FrozenClock
from mongoq.core.errors import IndexMissing
from mongoq.storage.commands import InsertOne
from mongoq.storage.control import ListIndexes
from mongoq.storage.drivers.blocking import BlockingDriver
from mongoq.storage.drivers.connection import Connection
from mongoq.storage.drivers.steps import Stepper

LIMIT: contextvars.ContextVar[int] = contextvars.ContextVar("limit", default=0)


class Writes(BlockingDriver):
    """A server of which a test decides when, and how, it answers."""

    def __init__(self) -> None:
        super().__init__(Connection(SimpleNamespace()), Stepper(FrozenClock()))
        self.sizes: list[int] = []
        self.answer = threading.Event()
        self.replies: dict[int, BaseException] = {}
        """By the size of a write."""
        self.limits: list[int] = []

    def _call(self, command: Any, session: Any) -> Any:  # noqa: ARG002 -- the driver's own signature
        if isinstance(command, ListIndexes):
            raise IndexMissing("the index of unique values")
        size = 1 if isinstance(command, InsertOne) else len(command.bodies)
        self.sizes.append(size)
        self.limits.append(LIMIT.get())
        assert self.answer.wait(60)
        if size in self.replies:
            raise self.replies[size]
