"""Workers in the background: `start`, and the handle that it returns on an event loop."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from mongoq.api.base import Base
from mongoq.api.starting import configured, started
from mongoq.api.verb import Awaited, verb
from mongoq.core.host.waiter import Waiter
from mongoq.core.judging.retrying import RetryOn
from mongoq.core.requests import checked_seconds
from mongoq.core.validation import UNSET, Duration, Unset
from mongoq.storage.commands import Op
from mongoq.storage.control import Call, Loop, Wait

if TYPE_CHECKING:
    from mongoq.worker.handle import WorkerHandle
    from mongoq.worker.handlers.signature import Function

__all__ = ["AsyncWorkerHandle"]


class Ended:
    """Who waits for the end of a worker; the engine notifies them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Waiter] = []

    def notify(self) -> None:
        """Let all look."""
        with self._lock:
            waiting = list(self._waiting)
        for waiter in waiting:
            waiter.notify()

    @contextmanager
    def registered(self) -> Iterator[Waiter]:
        """A waiter that is notified from now on."""
        waiter = Waiter()
        with self._lock:
            self._waiting.append(waiter)
        try:
            yield waiter
        finally:
            with self._lock:
                self._waiting.remove(waiter)


class Running:
    """The inside of a handle: a worker, and the driver that waits for it in the queue's tempo."""

    def __init__(self, handle: WorkerHandle, ended: Ended, driver: Any) -> None:
        self.handle = handle
        self.ended = ended
        self.driver = driver


@verb
def wait(running: Running, timeout: Duration | None = None) -> Op[bool]:
    """Wait until the worker has stopped, at most `timeout` seconds; return whether it has."""
    patience = checked_seconds("timeout", timeout)
    with running.ended.registered() as waiter:
        if not running.handle.stopped:
            yield Wait(waiter, None if patience == float("inf") else patience)
    return running.handle.stopped


@verb
def stop(running: Running, timeout: Duration | None = None) -> Op[None]:
    """Stop claiming, give running handlers `timeout` seconds (default: the queue's grace), release the rest.

    Released tasks are ready again at once, uncharged. It returns when the worker has stopped, at most about a second
    after that time; if the call is cancelled, the worker stops all the same. A second call can only shorten the time.
    """
    checked_seconds("timeout", timeout)
    with running.ended.registered() as waiter:
        running.handle.stop_soon(timeout)
        while not running.handle.stopped:
            waiter.rearm()
            if not running.handle.stopped:
                yield Wait(waiter)


@verb
def drain(running: Running, timeout: Duration | None = None) -> Op[bool]:
    """Claim nothing more, let running handlers end, then stop; return whether all ended within `timeout` seconds.

    Claimed tasks that have not started are released at once. Running handlers are not told, and their leases are
    renewed. If it returns False, they still run: call it again, or `stop`. Do not call it from a handler.
    """
    checked_seconds("timeout", timeout)
    drained: bool = yield Call(lambda: running.handle.drain(timeout))
    return drained


class AsyncWorkerHandle(Awaited):
    """A worker that runs in the background of an event loop: `await handle.stop()`, `await handle.wait()`."""

    def __init__(self, running: Running) -> None:
        self._base = running

    wait = wait
    stop = stop
    drain = drain

    @property
    def id(self) -> str:
        """The worker's name in the fleet: `host:pid:random`."""
        return self._running.id

    @property
    def stopped(self) -> bool:
        """Whether it has stopped."""
        return self._running.stopped

    @property
    def error(self) -> BaseException | None:
        """What ended it: a handler's `Stop`, its lifespan, a refused change, or a newer mongoq."""
        return self._running.error

    def wake(self) -> None:
        """Look for work now instead of at the next poll."""
        self._running.wake()

    @property
    def _running(self) -> WorkerHandle:
        handle: WorkerHandle = self._base.handle
        return handle


Handle = TypeVar("Handle")
"""The handle in the queue's own tempo."""


class Starting(Generic[Handle]):
    """The verb whose result is a handle of the queue's own tempo."""

    @verb
    def start(
        base: Base,
        handler: Function | None = None,
        *,
        queues: str | Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
        workers: int | None = None,
        executor: str | None = None,
        prefetch: int | None = None,
        on_dependency_error: str = "retry",
        batch: int | None = None,
        wait: Duration | None = None,
        max_tasks_per_child: int | None = None,
        max_memory_per_child: int | None = None,
        retry_on: RetryOn | Unset | None = UNSET,
        no_retry_on: RetryOn | Unset = UNSET,
        failure_message: str | Unset | None = UNSET,
    ) -> Op[Handle]:
        """Start a worker in background threads, and return a handle to stop it or wait for it.

        The arguments are those of `run`. What ended the worker, a handler's `Stop` or a DependencyError, is the
        handle's `error`. On an AsyncQueue coroutine handlers run on the caller's loop, and the worker outlives the
        coroutine that started it: it ends with the handle's `stop`, or with the queue's `close`.

        Raises:
            ConfigurationError: an argument is not acceptable.
            StorageError: MongoDB cannot be reached, or refuses.
        """
        config = configured(
            base,
            handler,
            queues=queues,
            where=where,
            workers=workers,
            executor=executor,
            prefetch=prefetch,
            on_dependency_error=on_dependency_error,
            policy={"retry_on": retry_on, "no_retry_on": no_retry_on, "failure_message": failure_message},
            wear=(max_tasks_per_child, max_memory_per_child),
            batch=(batch, wait),
        )
        ended = Ended()
        handle: Any = yield from started(base, config, ended.notify)
        if (yield Loop()) is not None:
            handle = AsyncWorkerHandle(Running(handle, ended, base.driver))
        return handle  # type: ignore[no-any-return]


blocking: Final = Starting["WorkerHandle"]()
awaited: Final = Starting[AsyncWorkerHandle]()
