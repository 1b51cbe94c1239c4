"""A lifespan: a generator that opens what handlers share, once in each process that runs them.

What it yields is `attempt.state`; what follows the `yield` runs when the worker ends. An async generator lives on the
event loop of the handlers. In the process executor it lives in each child.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any

from mongoq.core.tasks.attempt import Attempt

log = logging.getLogger("mongoq.worker")


class Lifespan:
    """What handlers share, and how it is opened and closed. It is pickled as its function: a child opens its own."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function
        self.state: Any = None
        self.awaited = inspect.isasyncgenfunction(function)
        self._generator: Any = None
        self._over: asyncio.Event | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.function,)

    def show(self, attempt: Attempt | None) -> None:
        """Let an attempt see what is shared."""
        if attempt is not None:
            attempt.state = self.state  # type: ignore[misc] # to a handler it is read-only

    def enter(self) -> None:
        """Run the generator up to its `yield`; what it raises passes on."""
        generator = self.function()
        try:
            self.state = next(generator)
        except StopIteration:
            raise self._said("has not yielded") from None
        self._generator = generator

    def leave(self) -> None:
        """Run what follows its `yield`; what it raises is logged."""
        generator, self._generator = self._generator, None
        if generator is None:
            return
        try:
            next(generator)
        except StopIteration:
            return
        except BaseException:
            log.exception("the lifespan %r failed as it ended", self.function)
            return
        log.error("%s", self._said("has yielded twice"))

    async def enter_awaited(self) -> None:
        """`enter` of an async generator."""
        generator = self.function()
        try:
            self.state = await anext(generator)
        except StopAsyncIteration:
            raise self._said("has not yielded") from None
        self._generator = generator

    async def leave_awaited(self) -> None:
        """`leave` of an async generator."""
        generator, self._generator = self._generator, None
        if generator is None:
            return
        try:
            await anext(generator)
        except StopAsyncIteration:
            return
        except BaseException:
            log.exception("the lifespan %r failed as it ended", self.function)
            return
        log.error("%s", self._said("has yielded twice"))

    async def live(self, entered: Callable[[BaseException | None], None]) -> None:
        """Be open from `entered`, which is told an error instead, until `end` is called; all in one asyncio task."""
        self._over = asyncio.Event()
        try:
            await self.enter_awaited()
        except BaseException as error:  # noqa: BLE001 -- the worker raises it
            entered(error)
            return
        entered(None)
        await self._over.wait()
        await self.leave_awaited()

    def end(self) -> None:
        """End `live`; on its loop."""
        if self._over is not None:
            self._over.set()

    def _said(self, what: str) -> RuntimeError:
        return RuntimeError(f"the lifespan {self.function!r} {what}: it yields once, what handlers share")
