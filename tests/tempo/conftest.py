from __future__ import annotations

import gc
import secrets
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from mongoq import AsyncQueue
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


@pytest.fixture
def serve(uri: str, loop: LoopThread) -> Callable[..., None]:
    """Give `serve(body, **options)`: run a body with a queue on an event loop."""

    async def served(body: Callable[[AsyncQueue], Awaitable[None]], options: dict[str, Any]) -> None:
        async with AsyncQueue(uri, **{"namespace": f"t-{secrets.token_hex(4)}", "grace": 1, **options}) as queue:
            await queue.init()
            await body(queue)

    return lambda body, **options: loop.run(served(body, options))


@pytest.fixture
def unclosed() -> Iterator[None]:
    """Let the sockets that PyMongo leaves to the garbage collector end with the test that left them.

    What was there before is spared: of all that a process of tests holds, a collection takes a second.
    """
    gc.freeze()
    yield
    gc.collect()
    gc.unfreeze()
