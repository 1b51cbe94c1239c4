"""What a blocking driver waits for: another thread, or an operation that runs in one."""

from __future__ import annotations

import concurrent.futures
import contextvars
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import pymongo
from pymongo.client_session import ClientSession

from mongoq.core.host.limits import starts
from mongoq.core.host.waiter import Waiter
from mongoq.storage.drivers.steps import ROLLED_BACK_IN

T = TypeVar("T")


def roll_back(session: ClientSession) -> None:
    """End a transaction in progress without a trace."""
    if session.in_transaction:
        with pymongo.timeout(ROLLED_BACK_IN):
            session.abort_transaction()


def wait(waiter: Waiter, seconds: float | None) -> bool:
    """Whether the waiter was notified in time, by whatever thread."""
    event = threading.Event()
    waiter.attach(event.set)
    try:
        event.wait(seconds)
    finally:
        waiter.attach(None)
    return waiter.notified


def ended(handle: concurrent.futures.Future[Any], seconds: float | None) -> bool:
    """Whether an operation that was started has ended within so many seconds; None waits for its end elsewhere."""
    return seconds is None or bool(concurrent.futures.wait([handle], seconds).done)


def started(function: Callable[[], T]) -> concurrent.futures.Future[T]:
    """Call `function` in a thread of its own, in the caller's context: it may hold a time limit of the driver's."""
    future: concurrent.futures.Future[T] = concurrent.futures.Future()

    def work() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 -- it is raised by who joins
            future.set_exception(error)

    context = contextvars.copy_context()
    starts.begin_or_run(threading.Thread(target=context.run, args=(work,), name="mongoq-beside", daemon=True))
    return future
