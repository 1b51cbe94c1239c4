"""The live side of a claimed task in this process: when it must stop, and who may still end it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from mongoq.core.clock import elapsed
from mongoq.core.judging.policy import Policy
from mongoq.core.judging.steering import effective_error
from mongoq.core.signals import Interruption, Snooze
from mongoq.core.tasks.progress import Unwritten, checked_progress
from mongoq.core.tasks.read_only import EMPTY
from mongoq.core.tasks.reading import Readable
from mongoq.core.tasks.task import Task
from mongoq.worker.services.report import Report
from mongoq.worker.stages import Stage

FOREVER: Final = float("inf")
_BEGINNING: Final = threading.Lock()
LONGEST_TRANSACTION: Final = 100.0
"""Seconds after which a handler's own transaction is over: 10 s in which its begin is tried, 60 s that MongoDB lets
it live by default, and 30 s after which the server looks for transactions that lived too long."""


class LiveAttempt:
    """One claim of one task, from the claim to its ending. Implements `core.task.Attempt`.

    All instants are on `elapsed()`. The lease is counted from before the claim was sent, so this process gives
    up earlier than the server does.
    """

    __slots__ = (
        "_ended_as", "_interruption", "_late", "_lease_before", "_limit", "_open", "_reached", "_retry_as", "_task",
        "_transaction_until", "chain", "claimed", "claimed_at", "deadline_at", "deadline_raised", "extended", "key",
        "lease", "lease_until", "lost_leases", "not_after", "not_before", "on_interrupt", "parents", "policy", "ran",
        "report", "session_id", "slots", "started_at", "state", "token", "trace",
    )  # fmt: skip

    def __init__(self, claimed: Readable, policy: Policy, sent: float) -> None:
        self.key = claimed.key
        self.token = claimed.token or "-"
        """The proof of the claim; never empty, so what was not claimed matches nothing."""
        self.lost_leases = claimed.lost_leases
        self.slots = claimed.slots
        """The slots of limits that it has."""
        self.chain: Any = None
        """The chain of tasks that it is in, which share slots."""
        self.not_before, self.not_after = 0.0, FOREVER
        """From and until when it may start under its rate limits."""
        self.parents: Mapping[str, Task] = EMPTY
        """Its parents as they had ended when it was claimed, by key."""
        self.claimed = claimed
        self._task: Task | None = None
        self.policy = policy
        self.lease = policy.lease.total_seconds()
        self.report: Report | None = None
        """What its handler says of its progress; None: nothing."""
        self.extended: object = None
        """Not None while its lease may be longer than its own length; a new one at each extension."""
        self.claimed_at = sent
        self.started_at = 0.0
        """When its handler started; 0: it has not."""
        self.ran: float | None = None
        """For how many seconds its handler ran; None: it has not ended."""
        self.lease_until = sent + self.lease
        self.deadline_at = FOREVER
        self.deadline_raised = False  # whether its handler was interrupted at its deadline
        self.on_interrupt: Callable[[LiveAttempt, Interruption], object] | None = None  # in the caller's thread
        self._late: bool | None = None
        self._limit = FOREVER
        self._interruption: Interruption | None = None
        self._open = True
        self._reached = Stage.CLAIMED
        self._ended_as: Stage | None = None
        self.session_id: bytes | None = None
        """The session of its own transaction, while that is open."""
        self.state: Any = None
        self.trace: str | None = None
        """The span of it, where somebody traces it."""
        self._transaction_until = 0.0
        self._lease_before = 0.0
        self._retry_as: Snooze | None = None

    @property
    def task(self) -> Task:
        """The task, read when it is first asked for."""
        task = self._task
        if task is None:
            task = self.claimed.read()
            # No other thread has the task yet; dataclasses.replace took 9 µs.
            object.__setattr__(task, "attempt", self)
            self._task = task
        return task

    @property
    def size(self) -> int:
        """How many bytes the task is, encoded."""
        return self.claimed.size

    @property
    def stage(self) -> Stage:
        """How far it has come."""
        return self._ended_as or self._reached

    def reach(self, stage: Stage) -> bool:
        """Note that it waits, or that its handler starts; False where it has ended, which this does not change."""
        self._reached = stage
        return hasattr(self, "_open")

    @property
    def interruption(self) -> Interruption | None:
        """Why the handler should stop, or None while it should not."""
        if self._interruption is None:
            now = elapsed()
            if now >= self.deadline_at:
                self._interruption = Interruption.DEADLINE
            elif now >= self.lease_until and not self.in_transaction:
                self._interruption = Interruption.LEASE_LOST
        return self._interruption

    def time_left(self) -> float | None:
        """Seconds until it should have stopped; None without a limit.

        The end of the lease is no limit as long as it is renewed.
        """
        reason = self.interruption
        if reason is not None and reason is not Interruption.SHUTDOWN:
            return 0.0
        limit = min(self.deadline_at, self._limit)
        return None if limit == FOREVER else max(0.0, limit - elapsed())

    def progress(self, value: float | None = None, message: str | None = None) -> None:
        """Say how far the work is: see `core.attempt.Attempt`."""
        self._reporting().progress(*checked_progress(value, message))

    def log(self, text: object) -> None:
        """Add a line to the log of this attempt."""
        self._reporting().log(text)

    @property
    def unwritten(self) -> Unwritten | None:
        """What was said and is not stored yet."""
        return None if self.report is None else self.report.unwritten

    def _reporting(self) -> Report:
        with _BEGINNING:  # two threads that begin at once would lose a line
            self.report = self.report or Report()
        return self.report

    def start(self) -> None:
        """Note that its handler starts now: the deadline counts from here."""
        if self.policy.deadline is not None:
            self.deadline_at = elapsed() + self.policy.deadline.total_seconds()

    def interrupt(self, reason: Interruption, limit: float = FOREVER) -> None:
        """Tell the handler to stop, by `limit` where there is one; the first reason stays."""
        if self._interruption is None:
            self._interruption = reason
        self._limit = min(self._limit, limit)
        tell = self.on_interrupt
        if tell is not None:
            tell(self, reason)

    @property
    def open(self) -> bool:
        """Whether it has not ended yet."""
        return hasattr(self, "_open")

    def end(self, stage: Stage = Stage.ENDED) -> bool:
        """End it as ended or lost; False where another caller did so before, who alone goes on with it.

        The handler's thread, the end of a shutdown's grace and a lost lease may meet here. To delete a slot is atomic
        and costs a third of a lock.
        """
        try:
            del self._open
        except AttributeError:
            return False
        self._ended_as = stage
        return True

    def late(self, now: float) -> bool:
        """Whether its lease was over at `now`, or when this was first asked, which is before its ending is first sent.

        An ending that was sent in time may find its task gone because of itself, after a lost reply. One that was not
        has to take a task that is gone for another's.
        """
        if self._late is None:
            self._late = now >= self.lease_until and not self.in_transaction
        return self._late

    def settle(self, stage: Stage) -> None:
        """Note what became of its ending: written, or refused because the lease was lost."""
        self._ended_as = stage

    def reopen(self) -> None:
        """Take an end back that could not be written: it may be ended again."""
        self._ended_as = None
        self._open = True

    # A handler's own transaction.

    @property
    def lease_left(self) -> float:
        """Seconds for which the lease lasts without a renewal."""
        return self.lease_until - elapsed()

    def begin_transaction(self, lease_until: float) -> None:
        """Leave the lease alone: a transaction may hold the task, and a renewal would wait behind it.

        No renewal is due as long as a transaction can last. A renewal that is under way already may still reach the
        task before the transaction does, and bring the lease back to its own length. That matters only to a
        transaction that outlasts this length and is then aborted: its task may be rescued and run again.
        """
        self._retry_as = None
        self._lease_before = self.lease_until
        self._transaction_until = elapsed() + LONGEST_TRANSACTION
        self.lease_until = max(self.lease_until, lease_until)
        if lease_until:
            self.extended = object()

    def note_session(self, session_id: bytes) -> None:
        """Note in which session the transaction is open: a worker that stops has it aborted."""
        self.session_id = session_id

    def end_transaction(self, *, committed: bool, extended: bool = True, retry_as: Snooze | None = None) -> None:
        """Go on as before, or as an attempt that has completed its task."""
        self.session_id = None
        if not extended:
            self.lease_until = self._lease_before
        self._retry_as = retry_as
        self._transaction_until = FOREVER if committed else 0.0

    def effective_error(self, error: BaseException) -> BaseException:
        """What an error of the handler stands for: a retry without a charge where its transaction was aborted."""
        return effective_error(error, self._retry_as)

    @property
    def in_transaction(self) -> bool:
        """Whether its lease is left alone: its own transaction may be open, or has completed the task."""
        return self._transaction_until != 0.0 and elapsed() < self._transaction_until

    @property
    def committed(self) -> bool:
        """Whether its own transaction has completed the task."""
        return self._transaction_until == FOREVER
