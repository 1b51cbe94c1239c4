"""The end of queue objects: an awaited close, and the soft end of several queues at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, overload

from mongoq.api.base import Base
from mongoq.api.verb import Awaited, Blocking
from mongoq.core.host.limits import starts
from mongoq.core.requests import checked_seconds
from mongoq.core.validation import Checker, Duration
from mongoq.storage.drivers.awaited.awaiting import called

if TYPE_CHECKING:
    from mongoq.async_queue import AsyncQueue
    from mongoq.queue import Queue


async def close(base: Base) -> None:
    """Close an awaited queue, once; who asks again waits for the same."""
    if base.closing is None:
        base.closing = asyncio.ensure_future(_close(base))
    await asyncio.shield(base.closing)


async def _close(base: Base) -> None:
    await called(base.stop)
    if base.gatherer.busy:
        await base.driver.run(base.gatherer.close())
    await called(base.shut)
    await base.driver.connection.close()
    await called(base.close_engine)


@overload
def shutdown(*queues: Queue, timeout: Duration | None = 30) -> bool: ...
@overload
def shutdown(*queues: AsyncQueue, timeout: Duration | None = 30) -> Coroutine[Any, Any, bool]: ...
def shutdown(*queues: Any, timeout: Duration | None = 30) -> Any:
    """Refuse new tasks, let the workers of these queues finish what is there, then stop and close them, all at once.

    From then on `new`, `new_many`, `load`, `submit`, `modify(insert=...)` and `buffer` of these objects raise
    QueueClosed; tasks that handlers return are still enqueued. The workers go on until nothing is ready in their
    queues and nothing runs. Scheduled tasks are left to other processes. All queues are finished at the same time.
    Do not call it from a handler, which would wait for itself.

    Args:
        queues: all `Queue`s, or all `AsyncQueue`s, whose result is awaited. One without a worker is closed at once.
        timeout: how long to go on at most; then nothing more is claimed, running handlers get the queue's grace, and
            the rest is released. None: as long as it takes.

    Returns:
        Whether all was finished in time.

    Raises:
        ConfigurationError: `timeout` is no duration, or one of `queues` is no queue; nothing was done.
    """
    checker = Checker()
    awaited = any(isinstance(queue, Awaited) for queue in queues)
    for queue in queues:
        if not isinstance(queue, Awaited if awaited else Blocking):
            checker.refuse("queues", queue, "an AsyncQueue, as the others" if awaited else "a Queue")
    checker.finish()
    seconds = checked_seconds("timeout", timeout)
    for queue in queues:
        queue._base.shutting_down = True  # noqa: SLF001 -- the inside of our own objects
    return _awaited(queues, seconds) if awaited else _blocking(queues, seconds)


def _finish(base: Base, seconds: float) -> bool:
    """Let all workers end what is ready, for so long at most, and stop; blocks until they have stopped."""
    finished: list[bool] = []
    threads = [
        threading.Thread(target=lambda one=handle: finished.append(one.finish(seconds)), name="mongoq-finish")
        for handle in base.handles
    ]
    starts.run_all(threads)
    return all(finished)


def _blocking(queues: tuple[Queue, ...], seconds: float) -> bool:
    finished: list[bool] = []

    def end(queue: Queue) -> None:
        finished.append(_finish(queue._base, seconds))  # noqa: SLF001 -- as above
        queue.close()

    threads = [threading.Thread(target=end, args=(queue,), name="mongoq-shutdown") for queue in queues]
    starts.run_all(threads)
    return len(finished) == len(queues) and all(finished)


async def _awaited(queues: tuple[AsyncQueue, ...], seconds: float) -> bool:
    async def end(queue: AsyncQueue) -> bool:
        base = queue._base  # noqa: SLF001 -- as above
        finished = await called(lambda: _finish(base, seconds))
        await queue.close()
        return finished

    return all(await asyncio.gather(*map(end, queues)))
