"""While MongoDB is away an awaited operation waits, and the loop goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from dns import asyncresolver, resolver
from pymongo.errors import AutoReconnect

from mongoq import AsyncQueue, NewTask, QueueClosed, StorageUnavailable, Task
from mongoq.embedded.server import EmbeddedServer, open_embedded
from mongoq.storage.drivers.awaited.connection import _CLOSING, AsyncConnection
from proving.tempos import LoopThread, eventually

LONGEST_GAP = 1.2
"""Seconds: a verb that holds up the loop does so until its client gives up, after 1.5 s or more."""
"""Seconds between two beats of a loop on a noisy machine; the waits under test take from 1 to 10."""
BEAT = 0.01


@asynccontextmanager
async def beating() -> AsyncIterator[None]:
    """Fail where the loop stood still meanwhile."""
    gaps: list[float] = []

    async def beat() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(BEAT)
            now = time.monotonic()
            gaps.append(now - last)
            last = now

    beats = asyncio.create_task(beat())
    try:
        yield
    finally:
        beats.cancel()
        await asyncio.gather(beats, return_exceptions=True)
    assert gaps
    assert max(gaps) < LONGEST_GAP, f"{len(gaps)} beats, the longest gap {max(gaps):.3f} s"


async def buffered(queue: AsyncQueue) -> Task:
    async with queue.buffer() as buffer:
        return await buffer.new()


async def no_answer(queue: AsyncQueue, key: str) -> None:
    """Ask until no answer comes: a server that was just sent SIGSTOP may give one more."""
    with pytest.raises(StorageUnavailable):
        while True:
            await queue.get(key)


VERBS: dict[str, Callable[[AsyncQueue], Any]] = {
    "new": lambda queue: queue.new(),
    "load": lambda queue: queue.load({"n": n} for n in range(2_000)),
    "claim": lambda queue: queue.claim(),
    "modify": lambda queue: queue.modify(insert=[NewTask()]),
    "wait": lambda queue: queue.wait("a"),
    "join": lambda queue: queue.join(),
    "stats": lambda queue: queue.stats(),
    "run": lambda queue: queue.run(lambda task: None),
    "start": lambda queue: queue.start(lambda task: None),
    "buffer": buffered,
    "submit": lambda queue: queue.submit(),
}


@pytest.fixture
def nowhere() -> Iterator[str]:
    """Give a URI of a port that is taken, and where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"mongodb://127.0.0.1:{taken.getsockname()[1]}/?serverSelectionTimeoutMS=1500"


class Own:
    """A MongoDB of one test alone, which may be frozen."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.uri = f"{server.uri}&serverSelectionTimeoutMS=1500&socketTimeoutMS=1000"
        self._pid = server.pid

    def freeze(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._pid, signal.SIGCONT)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Own]:
    with open_embedded(tmp_path) as server:
        own = Own(server)
        yield own
        own.thaw()


def test_every_verb_waits_for_a_server_without_holding_up_the_loop(nowhere: str, loop: LoopThread) -> None:
    async def body() -> None:
        async with AsyncQueue(nowhere, grace=0) as queue, beating():
            asked = [asyncio.ensure_future(verb(queue)) for verb in VERBS.values()]
            ended = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 30)
        assert {name: type(error) for name, error in zip(VERBS, ended, strict=True)} == dict.fromkeys(
            VERBS, StorageUnavailable
        )

    loop.run(body())


def test_a_time_limit_ends_an_operation_while_the_server_is_away(nowhere: str, loop: LoopThread) -> None:
    async def body() -> None:
        async with AsyncQueue(nowhere.replace("1500", "6000"), grace=0) as queue, beating():
            for name, verb in VERBS.items():
                began = time.monotonic()
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await verb(queue)
                assert time.monotonic() - began < 5, name

    loop.run(body())


def test_a_frozen_server_does_not_hold_up_the_loop(own: Own, loop: LoopThread) -> None:
    async def body() -> None:
        queue = AsyncQueue(own.uri, namespace=f"t-{secrets.token_hex(4)}", grace=0)
        key = (await queue.new(queue="other")).key
        handle = await queue.start(lambda task: None)
        waits = [asyncio.ensure_future(queue.claim()), asyncio.ensure_future(queue.wait(key))]
        await eventually(lambda: queue._base._hand and queue._base._hand._results._waiting, "it waits")
        own.freeze()
        async with beating():
            await asyncio.wait_for(no_answer(queue, key), 60)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await queue.modify(insert=[NewTask(key="x")])
            await asyncio.wait_for(queue.close(), 60)
            ended = await asyncio.wait_for(asyncio.gather(*waits, return_exceptions=True), 30)
        assert handle.stopped
        assert {type(error) for error in ended} <= {QueueClosed, StorageUnavailable}
        own.thaw()
        await eventually(lambda: not _CLOSING, "the client that was left to close by itself has")

    loop.run(body())


def test_who_waits_goes_on_when_the_server_is_back(own: Own, loop: LoopThread) -> None:
    async def body() -> None:
        async with AsyncQueue(own.uri, namespace=f"t-{secrets.token_hex(4)}", grace=1) as queue:
            task = await queue.new(queue="other")
            end = asyncio.ensure_future(queue.wait(task, timeout=60))
            await eventually(lambda: queue._base._hand and queue._base._hand._results._stream.open, "it waits")
            own.freeze()
            await no_answer(queue, task.key)
            own.thaw()
            held = None
            while held is None:
                with contextlib.suppress(StorageUnavailable):
                    held = await queue.claim("other", timeout=60)
            await queue.complete(held)
            ended = await asyncio.wait_for(end, 60)
            assert ended is not None
            assert ended.finished

    loop.run(body())


def test_a_name_is_looked_up_beside_the_loop(loop: LoopThread) -> None:
    """The name server never answers, as behind a broken network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        modules: Any = ((resolver, resolver.Resolver), (asyncresolver, asyncresolver.Resolver))
        for module, kind in modules:
            made = kind(configure=False)
            made.nameservers = ["127.0.0.1"]
            made.port = silent.getsockname()[1]
            module.default_resolver = made

        async def body() -> None:
            began = time.monotonic()
            queue = AsyncQueue("mongodb+srv://db.example.org/shop", namespace="a", grace=0)
            assert time.monotonic() - began < LONGEST_GAP, "nothing is looked up where it is made"
            async with queue, beating():
                for verb in (queue.new(), queue.start(lambda task: None)):
                    with pytest.raises(StorageUnavailable):
                        await asyncio.wait_for(verb, 30)

        try:
            loop.run(body())
        finally:
            for module, _ in modules:
                module.default_resolver = None  # made anew from the machine's settings when it is next needed


def test_a_client_whose_last_words_fail_is_closed_all_the_same(loop: LoopThread) -> None:
    class Failing:
        said = 0
        shut = False

        async def close(self) -> None:
            self.said += 1
            if self.said == 1:
                raise AutoReconnect("no answer to endSessions")
            self.shut = True

    client: Any = Failing()
    connection = AsyncConnection(cast("Any", None), cast("Any", None), client)
    loop.run(connection.close())
    assert client.shut
