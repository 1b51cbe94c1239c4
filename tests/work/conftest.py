"""Queues with a namespace of their own, and what their workers did, to be waited for."""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
from pymongo import MongoClient

from mongoq import Queue, Task
from mongoq.embedded.server import EmbeddedServer
from tests.work.transactions import orders_of


class Events:
    """Every event of a queue, in order; `wait` blocks until enough of one kind have come."""

    def __init__(self, queue: Queue) -> None:
        self._seen: list[tuple[str, Mapping[str, Any]]] = []
        self._arrived = threading.Condition()
        queue.telemetry.subscribe(self._note)

    def _note(self, name: str, fields: Mapping[str, Any]) -> None:
        with self._arrived:
            self._seen.append((name, fields))
            self._arrived.notify_all()

    def of(self, name: str) -> list[Mapping[str, Any]]:
        """What the events of this name brought."""
        return [fields for seen, fields in list(self._seen) if seen == name]

    def all(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Name and fields of every event so far."""
        return list(self._seen)

    def wait(self, name: str, count: int = 1, timeout: float = 60) -> list[Mapping[str, Any]]:
        """Wait for so many events of this name."""
        deadline = time.monotonic() + timeout
        with self._arrived:
            while len(self.of(name)) < count:
                if not self._arrived.wait(deadline - time.monotonic()):
                    pytest.fail(f"{len(self.of(name))} of {count} events {name} within {timeout:g} s")
        return self.of(name)


@pytest.fixture
def queue(make_queue: Callable[..., Queue]) -> Queue:
    return make_queue(workers=2)


@pytest.fixture
def collection(server: EmbeddedServer, queue: Queue) -> Iterator[Any]:
    """The tasks of `queue`, by the bare driver."""
    with MongoClient[dict[str, Any]](server.uri) as client:
        yield client["mongoq"][f"{queue.namespace}.tasks"]


@pytest.fixture
def orders(queue: Queue) -> Any:
    """Give the application's own collection beside the queue."""
    return orders_of(queue)


@pytest.fixture
def events(queue: Queue) -> Events:
    return Events(queue)


@pytest.fixture
def watch() -> Callable[[Queue], Events]:
    """Record the events of a queue."""
    return Events


@pytest.fixture
def finished(until: Callable[..., None]) -> Callable[[Queue, str], Task]:
    """Give the task with this key once it has reached a final state."""

    def wait(queue: Queue, key: str) -> Task:
        until(lambda: queue.get(key).finished, why=f"{key} finishes")
        return queue.get(key)

    return wait


class Gate:
    """A handler that waits at a gate, so that a test decides when it goes on."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.entered: list[str] = []

    def __call__(self, task: Task) -> None:
        self.entered.append(task.key)
        self.opened.wait(30)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


MODULES: Final = ("process_handlers", "forking_handlers", "keeping_handlers")


def _handlers() -> SimpleNamespace:
    """All handlers by their names."""
    return SimpleNamespace(**{k: v for name in MODULES for k, v in vars(importlib.import_module(name)).items()})


def _forget_handlers() -> None:
    for name in MODULES:
        sys.modules.pop(name)


@pytest.fixture(scope="module")
def importable() -> Iterator[SimpleNamespace]:
    """The functions children can import: they get this process's `sys.path`."""
    sys.path.insert(0, str(Path(__file__).parent))
    yield _handlers()
    sys.path.pop(0)
    _forget_handlers()


@pytest.fixture(params=["threads", "asyncio", "processes"])
def run(request: pytest.FixtureRequest, importable: SimpleNamespace) -> Callable[..., None]:
    """Give `run(queue, name, **options)`: run what is ready with the handler of this name, in each executor.

    With `burst=False`, until the queue is stopped.
    """

    def work(queue: Queue, name: str, **options: Any) -> None:
        executor: str = request.param
        handler = getattr(importable, f"{name}_on_a_loop" if executor == "asyncio" else name)
        queue.run(handler, executor=executor, workers=1, **{"burst": True, **options})

    return work


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The functions that children can import, fresh for each test."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    yield _handlers()
    _forget_handlers()


def _children() -> set[int]:
    """The processes that this one has started, zombies included."""
    found: set[int] = set()
    for file in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError):  # a thread that has ended meanwhile
            found.update(map(int, file.read_text().split()))
    return found


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def nothing_left_behind(until: Callable[..., None]) -> Iterator[None]:
    """Fail where a test leaves a child process or open files."""
    before, files = _children(), _open_files()
    yield
    assert _children() <= before
    # A client's monitor that was just connecting lets go a moment after the client was closed.
    until(lambda: _open_files() <= files + 1, why="no file is left open")
