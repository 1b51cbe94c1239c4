"""A handler's own transaction, as its attempt sees it.

While it is open its lock on the task stands in for the lease: a renewal would only wait behind it. So renewals stop,
and before it opens the lease is renewed once for longer than MongoDB lets a transaction live. Whatever becomes of it,
the ending is then written under a lease that is still held, and the keeper brings the lease back to its own length.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final, TypeVar

from mongoq.core.backoff import Exponential
from mongoq.core.clock import elapsed
from mongoq.core.errors import StorageUnavailable
from mongoq.core.signals import Snooze
from mongoq.core.task import Task
from mongoq.storage.commands import Op, Pause
from mongoq.storage.drivers.errors import is_transient
from mongoq.storage.drivers.steps import REPLAYED_FOR
from mongoq.worker.attempt import LONGEST_TRANSACTION

T = TypeVar("T")

HELD: Final = timedelta(seconds=LONGEST_TRANSACTION + 20)
"""The lease that a transaction begins under, with time to write an ending after it."""
LIFETIME: Final = 60.0
"""Seconds after which MongoDB aborts a transaction: by its own fault, and once more it would be no shorter."""
AGAIN: Final = Exponential(timedelta(seconds=0.2), factor=2, max=timedelta(seconds=10))
"""The pause of a task whose transaction met another's write, so that one that always does so does not spin."""
PAUSE: Final = 0.1


def apart(task: Task, renew: Callable[[timedelta], Op[None]], block: Callable[[], Op[T]]) -> Op[T]:
    """Leave the lease of a task alone during the block, which completes the task where it ends without an error."""
    attempt = task.attempt
    if attempt is None:  # claimed by hand, maybe for longer: nobody would bring that back
        own = task.lease_until - task.read_at if task.lease_until else HELD
        yield from _persistently(lambda: renew(max(HELD, own)))
        return (yield from block())
    begun, committed, again = None, False, None
    lasts = attempt.pause()
    sent = elapsed()
    try:
        if lasts < HELD.total_seconds():
            yield from _persistently(lambda: renew(HELD))
            attempt.renewed(sent + HELD.total_seconds())
        begun = elapsed()
        entered = yield from block()
        committed = True
    except Exception as error:
        if _may_run_again(error, begun):
            again = _again(task, error)
        raise
    finally:
        attempt.resume(committed=committed, again=again)
    return entered


def _persistently(renew: Callable[[], Op[None]]) -> Op[None]:
    """Renew; again where no server answers, as long as the begin of the transaction would be tried."""
    give_up_at = elapsed() + REPLAYED_FOR
    while True:
        try:
            yield from renew()
        except StorageUnavailable:
            if elapsed() > give_up_at:
                raise
        else:
            return
        yield Pause(PAUSE)


def _may_run_again(error: Exception, begun: float | None) -> bool:
    if begun is None:  # no server answered to the renewal
        return isinstance(error, StorageUnavailable)
    return is_transient(error) and elapsed() - begun < LIFETIME


def _again(task: Task, error: Exception) -> Snooze:
    """Run it again, uncharged: its transaction was aborted by no fault of its own."""
    again = Snooze(AGAIN.delay(task.uncharged + 1), f"its transaction was aborted: {type(error).__name__}")
    again.__cause__ = error
    return again
