"""The threads of `asyncio.to_thread` on a worker's own loop: daemons, which do not keep a process that has stopped."""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from mongoq.worker.handlers.cores import usable_cores

MOST: Final = 32


class DaemonPool(ThreadPoolExecutor):
    """A ThreadPoolExecutor, as asyncio asks for, but that nobody waits for its threads at the end of the process."""

    def __init__(self) -> None:
        super().__init__(1)
        self._most = min(MOST, usable_cores() + 4)
        self._count = 0
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._starting = threading.Lock()
        self._over = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call this in a thread."""
        future: Future[Any] = Future()
        with self._starting:
            if self._over:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._calls.put((future, functools.partial(fn, *args, **kwargs)))
            if not self._idle.acquire(blocking=False) and self._count < self._most:
                self._count += 1
                threading.Thread(target=self._work, name=f"mongoq-to-thread-{self._count}", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 -- that is the point
        """Take no more calls, and wait for none."""
        with self._starting:
            self._over = True
            for _ in range(self._count):
                self._calls.put(None)

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
