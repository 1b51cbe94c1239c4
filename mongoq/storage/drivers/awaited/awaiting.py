"""What an awaited driver waits for: another thread, a call that may block, an answer of whatever kind."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import inspect
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import pymongo

from mongoq.core.errors import StorageUnavailable
from mongoq.core.host.limits import NO_MORE, starts
from mongoq.core.host.waiter import Waiter
from mongoq.storage.drivers.steps import ROLLED_BACK_IN

T = TypeVar("T")


def running() -> bool:
    """Whether an event loop runs here: what is closed after the end of its loop can await nothing any more."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def roll_back(session: Any) -> None:
    """End a transaction in progress without a trace."""
    if session.in_transaction:
        with pymongo.timeout(ROLLED_BACK_IN):
            await session.abort_transaction()


async def called(function: Callable[[], T]) -> T:
    """What a function returns that may block, in a thread of its own: those of the loop may all be taken."""
    future: concurrent.futures.Future[T] = concurrent.futures.Future()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            result = context.run(function)
        except BaseException as error:  # noqa: BLE001 -- it is raised where it is awaited
            future.set_exception(error)
        else:
            future.set_result(result)

    future.set_running_or_notify_cancel()  # who waits may go away; the function runs on
    if not starts.begin(threading.Thread(target=work, name="mongoq-call", daemon=True)):
        raise StorageUnavailable(NO_MORE)
    return await asyncio.wrap_future(future)


async def awaited(value: Any) -> Any:
    """The value, or what it stands for where it is awaitable: clients differ in that."""
    return await value if inspect.isawaitable(value) else value


async def wait(waiter: Waiter, seconds: float | None) -> bool:
    """Whether the waiter was notified in time, by whatever thread; it costs none."""
    loop = asyncio.get_running_loop()
    woken = loop.create_future()

    def wake() -> None:
        if not woken.done():
            woken.set_result(None)

    def notify() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits on it any more
            loop.call_soon_threadsafe(wake)

    waiter.attach(notify)
    timer = None if seconds is None else loop.call_later(max(0.0, seconds), wake)
    try:
        await woken
    finally:
        waiter.attach(None)
        if timer is not None:
            timer.cancel()
    return waiter.notified
