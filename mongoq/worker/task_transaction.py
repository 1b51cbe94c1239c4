"""A handler's own transaction, as its attempt sees it.

Before the transaction opens, the lease is extended once to two minutes, which is longer than MongoDB lets a
transaction live. No renewal is due until then, so none waits behind the transaction's lock on the task. Afterwards the
ending is written under a lease that is still held, and the renewer brings the lease back to its own length.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Final, Protocol, TypeVar, runtime_checkable

from mongoq.core.clock import elapsed
from mongoq.core.errors import MongoqError, StorageUnavailable
from mongoq.core.host.limits import starts
from mongoq.core.judging.backoff import Exponential
from mongoq.core.signals import Snooze
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import Op
from mongoq.storage.control import Pause
from mongoq.storage.drivers.errors import is_transient
from mongoq.storage.drivers.steps import REPLAYED_FOR
from mongoq.storage.operations.recovery import own_transactions
from mongoq.worker.attempt import LONGEST_TRANSACTION, LiveAttempt
from mongoq.worker.runtime import Run

log = logging.getLogger("mongoq.worker")

T = TypeVar("T")

HELD: Final = timedelta(seconds=LONGEST_TRANSACTION + 20)
"""The lease that a transaction begins under, with time to write an ending after it."""
LIFETIME: Final = 60.0
"""Seconds after which MongoDB aborts a transaction (`transactionLifetimeLimitSeconds`). A transaction that lasted so
long was too slow, so it counts as a failure and is not retried for free."""
RETRY_AFTER: Final = Exponential(timedelta(seconds=0.2), factor=2, max=timedelta(seconds=10))
"""The pause of a task whose transaction met another's write, so that one that always does so does not spin."""
PAUSE: Final = 0.1


@runtime_checkable
class TransactionHolder(Protocol):
    """The live side of a task whose handler may open a transaction of its own."""

    @property
    def lease_left(self) -> float:
        """Seconds for which the lease lasts without a renewal; 0 where that is not known."""

    def begin_transaction(self, lease_until: float) -> None:
        """Leave the lease alone until the transaction is over; it is being extended until then, on `elapsed()`."""

    def note_session(self, session_id: bytes) -> None:
        """Note in which session the transaction is open, by its 16 bytes."""

    def end_transaction(self, *, committed: bool, extended: bool = True, retry_as: Snooze | None = None) -> None:
        """Go on as before, or as an attempt that has completed its task.

        `extended` says whether the extension of the lease was written. `retry_as` stands for the error that it was
        raised from, should the handler end with that error.
        """


def holding_lease(task: Task, renew: Callable[[timedelta], Op[None]], block: Callable[[], Op[T]]) -> Op[T]:
    """Extend the lease of a task for the block, which completes the task where it ends without an error."""
    attempt = task.attempt
    own = task.lease_until - task.read_at if task.lease_until else HELD
    if not isinstance(attempt, TransactionHolder):  # claimed by hand, maybe for longer: nobody would bring that back
        yield from _persistently(lambda: renew(max(HELD, own)))
        return (yield from block())
    begun, committed, retry_as = None, False, None
    extends = attempt.lease_left < HELD.total_seconds()
    lease = HELD if attempt.lease_left > 0 else max(HELD, own)
    attempt.begin_transaction(elapsed() + lease.total_seconds() if extends else 0.0)
    try:
        if extends:
            yield from _persistently(lambda: renew(lease))
        begun = elapsed()
        entered = yield from block()
        committed = True
    except Exception as error:
        if _may_run_again(error, begun):
            retry_as = _retry(task, error)
        raise
    finally:
        attempt.end_transaction(committed=committed, extended=begun is not None, retry_as=retry_as)
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


def _retry(task: Task, error: Exception) -> Snooze:
    """Run it again, uncharged: its transaction was aborted by no fault of its own."""
    retry = Snooze(RETRY_AFTER.delay(task.uncharged + 1), f"its transaction was aborted: {type(error).__name__}")
    retry.__cause__ = error
    return retry


def abort_open(attempts: Iterable[LiveAttempt], run: Run, within: float) -> None:
    """Have the server abort the transactions that these have open, and wait for it for so many seconds at most."""
    held = [attempt for attempt in attempts if attempt.in_transaction and not attempt.committed]
    sessions = {attempt: attempt.session_id for attempt in held if attempt.session_id is not None}
    if not sessions:
        return
    ended = own_transactions.end(list(sessions.values()))
    # In a thread of its own, as a server that does not answer must not keep the process.
    killer = threading.Thread(target=_unless_refused, args=(run, ended), name="mongoq-kill", daemon=True)
    starts.begin_or_run(killer)
    if killer.ident is not None:
        killer.join(within)
    for attempt in sessions:
        if not attempt.committed:
            attempt.end_transaction(committed=False)


def _unless_refused(run: Run, ended: Op[None]) -> None:
    try:
        run(ended)
    except MongoqError as error:
        log.info("a handler's own transaction was not aborted, and holds its task for up to a minute: %s", error)
