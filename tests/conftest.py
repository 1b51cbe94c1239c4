from __future__ import annotations

import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from mongoq import Queue
from mongoq.diagnosis.checks import server as checks_of_servers
from mongoq.embedded.server import EmbeddedServer, open_embedded
from proving.cluster import Cluster

HEEDED = (signal.SIGTERM, signal.SIGINT)
"""What workers, and the commands that run them, have handlers for."""

COMMANDS = {"mongoq", "everything"}
"""The fixtures of tests that run commands in this process."""


def pytest_configure() -> None:
    """Heed Ctrl-C, and let all children heed it, where this run was started with SIGINT ignored.

    A shell without job control does that to what it starts with `&`, and children inherit it: those that the tests
    interrupt would not end.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def any_oplog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no oplog be too short for a diagnosis: the tests before fill the 256 MB of their server within minutes."""
    monkeypatch.setattr(checks_of_servers, "SHORTEST_WINDOW", timedelta(0))


@pytest.fixture(autouse=True)
def same_signals(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail where a test leaves another handler for a signal, or a blocked one: forks of later tests would inherit it.

    The commands of `mongoq` may: each takes a process's signals for as long as that lives.
    """
    before = _signals()
    yield
    after = _signals()
    if after != before:
        for number, handler in zip(HEEDED, before[0], strict=True):
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before[1])
    assert after == before or COMMANDS & set(request.fixturenames)


def _signals() -> tuple[list[Any], set[signal.Signals | int]]:
    return [signal.getsignal(number) for number in HEEDED], signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """Give `until(predicate, timeout=60, why="...")`: poll until it holds, fail at the deadline.

    A deadline is for what never comes, and costs nothing where it comes: a busy machine took 20 s for what takes 0.1.
    """

    def wait(predicate: Callable[[], object], timeout: float = 60, why: str = "it should hold") -> None:
        deadline = time.monotonic() + timeout
        while not predicate():
            if time.monotonic() > deadline:
                pytest.fail(f"after {timeout:g} s, still not so: {why}")
            threading.Event().wait(0.02)

    return wait


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, until: Callable[..., None]) -> Iterator[EmbeddedServer]:
    """Give the MongoDB that all tests of this run share; its `uri` is where to connect.

    Under pytest-xdist each worker has one of its own: tests look at all of their server. Several runs share the one
    whose folder MONGOQ_TEST_SERVER names; whoever started it stops it.
    """
    shared = os.environ.get("MONGOQ_TEST_SERVER")
    with open_embedded(shared or tmp_path_factory.mktemp("mongodb")) as server:
        yield server
    if shared:
        return
    state = server.folder / "server.json"
    until(lambda: not state.exists(), why="the server stops with its last user")


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[Cluster]:
    """Give the replica set of three that all tests of this run share; take `cluster`. Its members heed fail points."""
    with Cluster(parameters={"enableTestCommands": 1}) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Iterator[Cluster]:
    """Give a whole replica set of three, behind proxies; whatever a test does to it is undone."""
    shared_cluster.restore()
    yield shared_cluster
    shared_cluster.restore()


@pytest.fixture
def uri(server: EmbeddedServer) -> str:
    """Where `make_queue` connects."""
    return server.uri


@pytest.fixture
def make_queue(uri: str) -> Iterator[Callable[..., Queue]]:
    """Make queues with options of their own; closed, and their workers stopped at once, afterwards."""
    made: list[Queue] = []

    def make(**options: Any) -> Queue:
        options = {"namespace": f"t-{secrets.token_hex(4)}", "grace": 0, **options}
        made.append(Queue(uri, **options))
        return made[-1]

    yield make
    for queue in made:
        queue.close()
