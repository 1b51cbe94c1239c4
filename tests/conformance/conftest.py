"""Two clients of one namespace, as the scenarios of a queue's clients need them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from mongoq import Queue
from mongoq.embedded.server import EmbeddedServer


@pytest.fixture
def namespace() -> str:
    return f"t-{secrets.token_hex(4)}"


@pytest.fixture
def client(server: EmbeddedServer, namespace: str) -> Iterator[Any]:
    with Queue(server.uri, namespace=namespace, grace=0) as queue:
        yield queue


@pytest.fixture
def other(server: EmbeddedServer, namespace: str) -> Iterator[Any]:
    with Queue(server.uri, namespace=namespace, grace=0) as queue:
        yield queue
