"""One way to the verbs of both tempos: those of a `Queue` run in threads, those of an `AsyncQueue` are awaited."""

from __future__ import annotations

import functools
from typing import Any

from starlette.concurrency import run_in_threadpool

from mongoq import AsyncQueue, Queue


class Gateway:
    """The verbs of a queue, for coroutines."""

    def __init__(self, queue: Queue | AsyncQueue) -> None:
        self.queue = queue
        self.namespace = queue.namespace
        self._awaited = isinstance(queue, AsyncQueue)

    async def ask(self, verb: str, *args: Any, **options: Any) -> Any:
        """The result of a verb of the public API."""
        method = getattr(self.queue, verb)
        if self._awaited:
            return await method(*args, **options)
        return await run_in_threadpool(functools.partial(method, *args, **options))
