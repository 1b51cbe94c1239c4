from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from proving.tempos import Face, LoopThread, face


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    """Give an event loop in a thread of its own, which must not have complained at the end."""
    loop = LoopThread()
    yield loop
    loop.close()


@pytest.fixture(params=["blocking", "awaited"])
def make(request: pytest.FixtureRequest, uri: str) -> Iterator[Callable[..., Face]]:
    """Give `make(target=..., **options)`: queues of one tempo, in a namespace of their own; closed afterwards."""
    loop = LoopThread() if request.param == "awaited" else None
    made: list[Face] = []

    def new(target: Any = uri, **options: Any) -> Face:
        made.append(face(loop, target, **{"namespace": f"t-{secrets.token_hex(4)}", "grace": 1, **options}))
        return made[-1]

    yield new
    for one in made:
        one.close()
    if loop is not None:
        loop.close()


@pytest.fixture
def queue(make: Callable[..., Face]) -> Face:
    return make()
