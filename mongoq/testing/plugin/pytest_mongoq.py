"""The pytest plugin of mongoq: queues without a server, and an embedded MongoDB.

A module apart from the package: pytest loads it for every suite of the environment, and mongoq is imported only where
a test asks for one of these fixtures.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mongoq import AsyncQueue, Queue
    from mongoq.testing import FrozenClock


@pytest.fixture
def mongoq_clock() -> FrozenClock:
    """The clock of `mongoq_queue` and `mongoq_async_queue`; it stands still until a test moves it by `advance`."""
    from mongoq.testing import FrozenClock

    return FrozenClock()


@pytest.fixture
def mongoq_queue(mongoq_clock: FrozenClock) -> Iterator[Queue]:
    """A `Queue` that is empty and needs no server: mongoq's own operations on mongomock."""
    from mongoq.testing import memory_queue

    with memory_queue(clock=mongoq_clock) as queue:
        yield queue


@pytest.fixture
def mongoq_async_queue(mongoq_clock: FrozenClock) -> Iterator[AsyncQueue]:
    """The same as an `AsyncQueue`, for one event loop."""
    from mongoq.testing import memory_async_queue

    queue = memory_async_queue(clock=mongoq_clock)
    yield queue
    queue._base.shut()


@pytest.fixture(scope="session")
def mongoq_server_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the embedded MongoDB of this run listens; it is started once and stopped at the end."""
    from mongoq import MongoqError
    from mongoq.embedded.server import open_embedded

    try:
        server = open_embedded(tmp_path_factory.mktemp("mongoq"))
    except MongoqError as error:
        pytest.fail(f"the fixture mongoq_server needs a MongoDB of this machine: {error}", pytrace=False)
    with server:
        yield server.uri


@pytest.fixture
def mongoq_server(mongoq_server_uri: str) -> Iterator[Queue]:
    """A `Queue` on a real MongoDB, in a namespace of this test alone."""
    from mongoq import Queue

    with Queue(mongoq_server_uri, namespace=f"t-{secrets.token_hex(4)}", grace=0) as queue:
        yield queue
