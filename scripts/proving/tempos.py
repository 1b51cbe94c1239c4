"""A queue in either tempo behind one blocking face, so that one body tests both."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from mongoq import AsyncQueue, Queue

PATIENCE = 60.0


class LoopThread:
    """An event loop in a thread of its own, as an application has it."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner(debug=False)
        self.loop = self._runner.get_loop()
        self.complaints: list[str] = []
        self.loop.set_exception_handler(lambda _, told: self.complaints.append(f"{told}"))
        self._thread = threading.Thread(target=self._serve, name="the-application", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self._runner.close()

    def begin(self, coroutine: Coroutine[Any, Any, Any]) -> concurrent.futures.Future[Any]:
        """Start a coroutine on the loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the loop to its end."""
        return self.begin(coroutine).result(PATIENCE)

    def close(self) -> None:
        """End the loop, which nothing may have complained to."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        assert self.complaints == []


class Face:
    """An object of the API; its verbs block, whatever its tempo. `tempo` tells which one it is."""

    def __init__(self, whole: Any, loop: LoopThread | None) -> None:
        self.whole = whole
        self.loop = loop
        self.tempo = "blocking" if loop is None else "awaited"

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.whole, name)
        return self._blocking(found) if callable(found) else found

    def _blocking(self, verb: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            return self.settled(lambda: verb(*args, **options))

        return call

    def settled(self, call: Callable[[], Any]) -> Any:
        """What a call comes to, on the loop where there is one."""
        if self.loop is None:
            return call()

        async def made() -> Any:
            result = call()
            return await result if inspect.isawaitable(result) and not hasattr(result, "__aenter__") else result

        return self.loop.run(made())

    @contextmanager
    def within(self, scope: Any) -> Iterator[Any]:
        """Enter what is for `with` or `async with`."""
        if self.loop is None:
            with scope as entered:
                yield entered
            return
        entered = self.loop.run(scope.__aenter__())
        try:
            yield entered
        except BaseException as error:
            if not self.loop.run(scope.__aexit__(type(error), error, error.__traceback__)):
                raise
        else:
            self.loop.run(scope.__aexit__(None, None, None))

    def each(self, stream: Any) -> Iterator[Any]:
        """The values of what is for `for` or `async for`; left early, it is closed."""
        if self.loop is None:
            yield from stream
            return
        try:
            while True:
                try:
                    value = self.loop.run(stream.__anext__())
                except StopAsyncIteration:
                    return
                yield value
        finally:
            self.loop.run(stream.aclose())


def face(loop: LoopThread | None, *args: Any, **options: Any) -> Face:
    """A queue in the tempo of a loop, or a blocking one."""
    if loop is None:
        return Face(Queue(*args, **options), None)

    async def made() -> AsyncQueue:
        return AsyncQueue(*args, **options)

    return Face(loop.run(made()), loop)


async def eventually(holds: Callable[[], Any], why: str, patience: float = 60) -> None:
    """Let the loop run until it holds."""
    deadline = time.monotonic() + patience
    while True:
        found = holds()
        if await found if asyncio.iscoroutine(found) else found:
            return
        assert time.monotonic() < deadline, f"still not so: {why}"
        await asyncio.sleep(0.02)
