"""A queue to be hostile to, and a tally of how it took it."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from mongoq import Queue
from mongoq.embedded.server import EmbeddedServer

TALLY: Counter[str] = Counter()


class Ground:
    """A queue, its collection, and the checks that follow every input."""

    def __init__(self, uri: str, client: MongoClient[dict[str, Any]]) -> None:
        self.queue = Queue(uri, namespace=f"t-{secrets.token_hex(4)}", grace=0, keep_completed=0)
        self.uri = uri
        self.namespace = self.queue.namespace
        self.collection = client["mongoq"][f"{self.namespace}.tasks"]

    def stored(self) -> dict[Any, Any]:
        """Every document, as its bytes."""
        raw = self.collection.find({}).sort("_id", 1)
        return {repr(document["_id"]): repr(document) for document in raw}

    def moves_on(self) -> None:
        """Fail unless a good task behind whatever lies there is claimed and completed."""
        good = self.queue.new(priority=-(2**63)).key
        TALLY["stuck queues"] += 1
        for _ in range(1000):
            task = self.queue.try_claim()
            assert task is not None, "a good task is there"
            self.queue.complete(task)
            if task.key == good:
                break
        assert self.collection.find_one({"_id": good}) is None, "it is deleted on completion"
        TALLY["stuck queues"] -= 1

    def refuses(self, attempt: Callable[[], object], error: type[Exception] | tuple[type[Exception], ...]) -> Exception:
        """The error of an attempt that must be refused, and must have stored nothing."""
        TALLY["inputs"] += 1
        before = self.stored()
        TALLY["crashes"] += 1
        with pytest.raises(error) as caught:
            attempt()
        TALLY["crashes"] -= 1
        TALLY["stored halves"] += 1
        assert self.stored() == before
        TALLY["stored halves"] -= 1
        self.moves_on()
        assert len(str(caught.value)) < 4000
        return caught.value


@pytest.fixture(scope="session")
def client(server: EmbeddedServer) -> Iterator[MongoClient[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](
        server.uri, unicode_decode_error_handler="replace", datetime_conversion=3
    ) as client:
        yield client


@pytest.fixture(scope="module")
def ground(server: EmbeddedServer, client: MongoClient[dict[str, Any]]) -> Iterator[Ground]:
    """Give the ground that the inputs of one module share."""
    ground = Ground(server.uri, client)
    yield ground
    ground.queue.close()


@pytest.fixture
def fresh(server: EmbeddedServer, client: MongoClient[dict[str, Any]]) -> Iterator[Ground]:
    """Give a ground of its own."""
    ground = Ground(server.uri, client)
    yield ground
    ground.queue.close()


@pytest.fixture
def tally() -> Counter[str]:
    return TALLY


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Under pytest-xdist, a worker hands its tally over."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["hostile"] = dict(TALLY)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add what a worker that has ended counted."""
    TALLY.update(getattr(node, "workeroutput", {}).get("hostile", {}))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The one figure."""
    if TALLY:
        names = ("inputs", "crashes", "stored halves", "stuck queues")
        terminalreporter.write_line("hostile: " + ", ".join(f"{name} {TALLY[name]}" for name in names))
