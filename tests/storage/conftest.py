"""A namespace of its own for each test, operations run by every driver, and a clock that stands still."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pymongo import MongoClient

from mongoq import Queue
from mongoq.core.clock import FrozenClock
from mongoq.core.events import Telemetry
from mongoq.core.host.keys import KeyMaker
from mongoq.core.judging.verdict import MOST_POISON_WEIGHT, Outcome
from mongoq.core.options import Options, checked_options
from mongoq.core.requests import ClaimRequest
from mongoq.core.tasks.modification import Modification, Modified
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.new_tasks import each
from mongoq.core.tasks.task import Task
from mongoq.embedded.server import EmbeddedServer
from mongoq.storage.commands import Op
from mongoq.storage.context import Context
from mongoq.storage.control import Within
from mongoq.storage.documents import drafting, filters
from mongoq.storage.operations import enqueue, finish, queries, schema
from mongoq.storage.operations.claiming.first import try_claim
from mongoq.storage.operations.claiming.many import claim_many
from mongoq.storage.operations.modify import apply
from tests.storage.drivers import EventLoop, Opened, drivers_of, open_driver

T = TypeVar("T")
OF_THE_QUEUE = ("max_age", "max_task_bytes", "error_queue", "fair_share", "aging")


class Store:
    """Storage as a test uses it."""

    def __init__(self, open_driver: Callable[[FrozenClock, Telemetry], Opened], **options: Any) -> None:
        self.clock = FrozenClock()
        self.telemetry = Telemetry()
        self._driver = open_driver(self.clock, self.telemetry)
        self.options = _options(**options)
        self.context = Context(self.clock, self.options, KeyMaker())
        self.run: Callable[..., Any] = self._driver.run
        """Runs an operation to its end, whatever the tempo of the driver."""
        self.connection = self._driver.connection
        self.collection = self.connection.database[self.context.tasks]
        self.close = self._driver.close

    def within(self, session: Any, op: Op[T]) -> T:
        """Run an operation in the transaction in progress of a session."""

        def inside() -> Op[T]:
            result: T = yield Within(session, lambda: op)
            return result

        done: T = self.run(inside())
        return done

    def new(self, **options: Any) -> Task:
        made: Task = self.run(enqueue.new(self.context, NewTask(**options)))
        return made

    def new_many(self, tasks: list[NewTask]) -> None:
        for drafts in drafting.chunks(self.context, each(tasks, {})):
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
        claim = self.run(claim_many(self.context, ClaimRequest(queues, worker, limit), poison_budget=poison_budget))
        tasks: list[Task] = claim.tasks
        return tasks

    def claim_one(self, *queues: str) -> Task | None:
        """Claim by hand."""
        task: Task | None = self.run(try_claim(self.context, ClaimRequest(queues or ("default",), "w")))
        return task

    def end(self, task: Task, ending: Outcome) -> None:
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
        fair_share=given.get("fair_share"),
        aging=given.get("aging"),
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test of a store on every driver that can run it."""
    if "driver" in metafunc.fixturenames:
        name = f"{metafunc.module.__name__.rpartition('.')[2]}::{metafunc.function.__name__}"
        metafunc.parametrize("driver", drivers_of(name), indirect=True)


@pytest.fixture(scope="session")
def event_loop_of_drivers() -> Iterator[EventLoop]:
    """Give the loop of the awaited drivers."""
    loop = EventLoop()
    yield loop
    loop.close()


@pytest.fixture
def driver(request: pytest.FixtureRequest) -> str:
    """Give the name of the driver that the test runs on."""
    name: str = request.param
    return name


@pytest.fixture
def make_store(
    driver: str, request: pytest.FixtureRequest, event_loop_of_drivers: EventLoop
) -> Iterator[Callable[..., Store]]:
    """Make stores with options of their own; closed afterwards."""
    made: list[Store] = []

    def uri() -> str:
        server: EmbeddedServer = request.getfixturevalue("server")
        return server.uri

    def make(**options: Any) -> Store:
        store = Store(lambda *told: open_driver(driver, uri, event_loop_of_drivers, *told), **options)
        made.append(store)
        store.run(schema.init(store.context))
        return store

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(make_store: Callable[..., Store]) -> Store:
    return make_store()


@pytest.fixture
def flowing(make_store: Callable[..., Store]) -> Callable[[], Store]:
    """Give `flowing()`: a store whose indexes for flow are there."""

    def made() -> Store:
        store = make_store()
        store.run(schema.ensure_flow(store.context))
        return store

    return made


@pytest.fixture
def folder(tmp_path: Path, until: Callable[..., None]) -> Iterator[Path]:
    """Give the path of a server's folder; what runs there must be gone with the test."""
    home = tmp_path / "db"
    yield home
    until(lambda: not (home / "server.json").exists(), why="no server outlives its test")


@pytest.fixture
def queue(server: EmbeddedServer) -> Iterator[Queue]:
    with Queue(server.uri, namespace=f"t-{secrets.token_hex(4)}") as queue:
        yield queue


@pytest.fixture
def collection(server: EmbeddedServer, queue: Queue) -> Iterator[Any]:
    """Give the tasks' collection of `queue`."""
    with MongoClient[dict[str, Any]](server.uri) as client:
        yield client["mongoq"][f"{queue.namespace}.tasks"]
