"""A namespace of its own for each test, operations run by the real driver, and a clock that stands still."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from mongoq.core.clock import FrozenClock, ServerClock
from mongoq.core.keys import KeyMaker
from mongoq.core.modification import Modification, Modified
from mongoq.core.new_task import NewTask, each
from mongoq.core.options import Options, checked_options
from mongoq.core.requests import ClaimRequest
from mongoq.core.task import Task
from mongoq.core.verdict import MOST_POISON_WEIGHT, Ending
from mongoq.embedded.server import EmbeddedServer
from mongoq.storage.context import Context
from mongoq.storage.documents import filters
from mongoq.storage.drivers.blocking import BlockingDriver
from mongoq.storage.drivers.connection import connect
from mongoq.storage.operations import claims, enqueue, finish, queries, schema
from mongoq.storage.operations.modify import apply

T = TypeVar("T")
OF_THE_QUEUE = ("max_age", "max_task_bytes", "error_queue")


class Store:
    """Storage as a test uses it."""

    def __init__(self, uri: str, **options: Any) -> None:
        self.connection = connect(uri)
        self.clock = FrozenClock()
        self.options = _options(**options)
        self.context = Context(self.clock, self.options, KeyMaker())
        self.run: Callable[..., Any] = BlockingDriver(self.connection, ServerClock()).run
        self.collection = self.connection.database[self.context.tasks]

    def new(self, **options: Any) -> Task:
        made: Task = self.run(enqueue.new(self.context, NewTask(**options)))
        return made

    def new_many(self, tasks: list[NewTask]) -> None:
        for drafts in enqueue.chunks(self.context, each(tasks, {})):
            self.run(enqueue.chunk(self.context, drafts))

    def claim(
        self,
        limit: int = 1,
        *,
        queues: tuple[str, ...] = ("default",),
        worker: str = "w",
        poison_budget: int = MOST_POISON_WEIGHT,
    ) -> list[Task]:
        """Claim a batch, as the engine does."""
        claim = self.run(
            claims.claim_many(self.context, ClaimRequest(queues, worker, limit), poison_budget=poison_budget)
        )
        tasks: list[Task] = claim.tasks
        return tasks

    def claim_one(self, *queues: str) -> Task | None:
        """Claim by hand."""
        task: Task | None = self.run(claims.try_claim(self.context, ClaimRequest(queues or ("default",), "w")))
        return task

    def end(self, task: Task, ending: Ending) -> None:
        self.run(finish.settle(self.context, [task], ending, "w"))

    def modify(self, modification: Modification | None = None, **parts: Any) -> Modified:
        done: Modified = self.run(apply.modify(self.context, modification or Modification(**parts)))
        return done

    def get(self, key: str) -> Task:
        task: Task = self.run(queries.get(self.context, key))
        return task

    def list(self) -> list[Task]:
        found: list[Task] = self.run(queries.tasks(self.context, filters.matching(), claimant=None, limit=100))
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
        store.run(schema.init(store.context))
        made.append(store)
        return store

    yield make
    for store in made:
        store.connection.close()


@pytest.fixture
def store(make_store: Callable[..., Store]) -> Store:
    return make_store()
