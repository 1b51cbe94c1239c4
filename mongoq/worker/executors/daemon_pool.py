"""The threads of `asyncio.to_thread` in handlers: daemons, which do not keep a process that has stopped.

On a worker's own loop all calls are handlers'. On a loop of the application's the end of the loop waits for the calls
of everybody else, as it does for a pool of asyncio's own.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Final

from mongoq.core.host.limits import starts
from mongoq.worker.handlers.cores import usable_cores

MOST: Final = 32
AGAIN_AFTER: Final = 1.0
"""Seconds after which a thread is tried again, where there could be no more."""
OF_HANDLER: Final = contextvars.ContextVar("mongoq-of-handler", default=False)
"""Whether this is the context of a handler, or of what it has started."""


class DaemonPool(ThreadPoolExecutor):
    """A ThreadPoolExecutor, as asyncio asks for, but that nobody waits for the calls of handlers."""

    def __init__(self) -> None:
        super().__init__(1)
        self._most = min(MOST, usable_cores() + 4)
        self._count = 0
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._starting = threading.Lock()
        self._of_others: set[Future[Any]] = set()
        self._over = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call this in a thread; it waits where there can be none just now."""
        future: Future[Any] = Future()
        if not OF_HANDLER.get():
            self._of_others.add(future)
            future.add_done_callback(self._of_others.discard)
        with self._starting:
            if self._over:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._calls.put((future, functools.partial(fn, *args, **kwargs)))
            if not self._idle.acquire(blocking=False):
                self._grow()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 -- it cancels none
        """Take no more calls, and wait for none of a handler's."""
        with self._starting:
            self._over = True
            for _ in range(self._count):
                self._calls.put(None)
        if wait:
            _wait(self._of_others)

    def _grow(self) -> None:
        if self._count >= self._most:
            return
        thread = threading.Thread(target=self._work, name=f"mongoq-to-thread-{self._count + 1}", daemon=True)
        if starts.begin(thread):
            self._count += 1
        else:
            asyncio.get_running_loop().call_later(AGAIN_AFTER, self._grow_again, context=contextvars.Context())

    def _grow_again(self) -> None:
        with self._starting:
            if not self._over and not self._calls.empty():
                self._grow()

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            future, call = item
            if future.set_running_or_notify_cancel():
                try:
                    result = call()
                except BaseException as error:  # noqa: BLE001 -- whatever it raises is its result
                    future.set_exception(error)
                else:
                    future.set_result(result)
            del item, future, call
            self._idle.release()


def lend_pool(loop: asyncio.AbstractEventLoop) -> None:
    """Give a loop of the application's this pool in place of one that asyncio makes; leave one of its own alone."""
    missing = object()
    known = getattr(loop, "_default_executor", missing)  # not public; loops of other libraries have none
    if known is None or getattr(known, "_thread_name_prefix", None) == "asyncio":
        loop.set_default_executor(DaemonPool())


def _wait(futures: set[Future[Any]]) -> None:
    wait(set(futures))
