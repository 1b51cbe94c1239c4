"""A namespace of its own for each test, operations run by the real driver, and a clock that stands still."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from mongoq.arguments import Wanted
from mongoq.clock import FrozenClock, ServerClock
from mongoq.keys import KeyMaker
from mongoq.model import Task
from mongoq.modification import Modification, Modified
from mongoq.new_task import NewTask, each
from mongoq.options import Options, checked_options
from mongoq.storage import administering, claiming, enqueueing, filters, finishing, inspecting, modifying
from mongoq.storage.connection import connect
from mongoq.storage.context import Context
from mongoq.storage.driver import Driver
from mongoq.storage.embedded import EmbeddedServer
from mongoq.verdict import MOST_SUSPICION, Ending

T = TypeVar("T")
OF_THE_QUEUE = ("max_age", "max_task_bytes", "error_queue")


class Store:
    """Storage as a test uses it."""

    def __init__(self, uri: str, **options: Any) -> None:
        self.connection = connect(uri)
        self.clock = FrozenClock()
        self.options = _options(**options)
        self.context = Context(self.clock, self.options, KeyMaker())
        self.run: Callable[..., Any] = Driver(self.connection, ServerClock()).run
        self.collection = self.connection.database[self.context.tasks]

    def new(self, **options: Any) -> Task:
        made: Task = self.run(enqueueing.new(self.context, NewTask(**options)))
        return made

    def new_many(self, tasks: list[NewTask]) -> None:
        for drafts in enqueueing.chunks(self.context, each(tasks, {})):
            self.run(enqueueing.chunk(self.context, drafts))

    def claim(
        self,
        limit: int = 1,
        *,
        queues: tuple[str, ...] = ("default",),
        worker: str = "w",
        suspicion: int = MOST_SUSPICION,
    ) -> list[Task]:
        """Claim a batch, as the engine does."""
        claim = self.run(claiming.claim_many(self.context, Wanted(queues, worker, limit), suspicion=suspicion))
        tasks: list[Task] = claim.tasks
        return tasks

    def claim_one(self, *queues: str) -> Task | None:
        """Claim by hand."""
        task: Task | None = self.run(claiming.try_claim(self.context, Wanted(queues or ("default",), "w")))
        return task

    def end(self, task: Task, ending: Ending) -> None:
        self.run(finishing.settle(self.context, [task], ending, "w"))

    def modify(self, modification: Modification | None = None, **parts: Any) -> Modified:
        done: Modified = self.run(modifying.modify(self.context, modification or Modification(**parts)))
        return done

    def get(self, key: str) -> Task:
        task: Task = self.run(inspecting.get(self.context, key))
        return task

    def list(self) -> list[Task]:
        found: list[Task] = self.run(inspecting.tasks(self.context, filters.matching(), claimant=None, limit=100))
        return found

    def document(self, key: str) -> dict[str, Any]:
        found: dict[str, Any] | None = self.collection.find_one({"_id": key})
        assert found is not None
        return found


def _options(**given: Any) -> Options:
    policy = {name: given.pop(name) for name in list(given) if name not in OF_THE_QUEUE}
    return checked_options(
        namespace=f"t-{secrets.token_hex(4)}",
        max_age=given.get("max_age"),
        workers=1,
        grace=timedelta(seconds=1),
        max_task_bytes=given.get("max_task_bytes", 2**20),
        error_queue=given.get("error_queue"),
        policy=policy,
    )


@pytest.fixture
def make_store(server: EmbeddedServer) -> Iterator[Callable[..., Store]]:
    """Make stores with options of their own; closed afterwards."""
    made: list[Store] = []

    def make(**options: Any) -> Store:
        store = Store(server.uri, **options)
        store.run(administering.init(store.context))
        made.append(store)
        return store

    yield make
    for store in made:
        store.connection.close()


@pytest.fixture
def store(make_store: Callable[..., Store]) -> Store:
    return make_store()
