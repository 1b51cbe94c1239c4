"""The live side of a claimed task in this process: when it must stop, and who may still end it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Protocol

from mongoq.core.clock import elapsed
from mongoq.core.options import Policy
from mongoq.core.signals import Interruption, Snooze
from mongoq.core.task import Task

FOREVER = float("inf")
LONGEST_RENEWAL = 4.0
"""Seconds after which a renewal is taken for lost: a little more than a socket's timeout."""
LONGEST_TRANSACTION: Final = 100.0
"""Seconds after which a handler's own transaction is over: 10 s in which its begin is tried, 60 s that MongoDB lets
it live by default, and 30 s after which it looks for those that lived too long."""


class Readable(Protocol):
    """A claimed task: what its holder needs at once, and the way to the rest."""

    @property
    def key(self) -> str: ...  # noqa: D102
    @property
    def token(self) -> str | None: ...  # noqa: D102
    @property
    def lost_leases(self) -> int: ...  # noqa: D102
    @property
    def size(self) -> int: ...  # noqa: D102
    def read(self) -> Task: ...  # noqa: D102


class LiveAttempt:
    """One claim of one task, from the claim to its ending. Implements `model.Attempt`.

    All instants are on `elapsed()`. The lease is counted from before the claim was sent, so this process gives
    up earlier than the server does.
    """

    __slots__ = (
        "_again",
        "_apart_until",
        "_interruption",
        "_limit",
        "_open",
        "_task",
        "_unread",
        "claimed_at",
        "deadline_at",
        "key",
        "lease",
        "lease_until",
        "lost_leases",
        "on_interrupt",
        "policy",
        "renewing",
        "struck",
        "token",
    )

    def __init__(self, claimed: Readable, policy: Policy, sent: float) -> None:
        self.key = claimed.key
        self.token = claimed.token or "-"
        """The proof of the claim; never empty, so what was not claimed matches nothing."""
        self.lost_leases = claimed.lost_leases
        self._unread = claimed
        self._task: Task | None = None
        self.policy = policy
        self.lease = policy.lease.total_seconds()
        self.claimed_at = sent
        self.lease_until = sent + self.lease
        self.deadline_at = FOREVER
        self.struck = False
        """Whether its handler was interrupted at its deadline."""
        self.on_interrupt: Callable[[LiveAttempt, Interruption], None] | None = None
        """Called at every `interrupt`, in the thread of whoever interrupts."""
        self._limit = FOREVER
        self._interruption: Interruption | None = None
        self._open = [None]
        self._apart_until = 0.0
        self._again: Snooze | None = None
        self.renewing = False
        """Whether a renewal is under way."""

    @property
    def task(self) -> Task:
        """The task, read when it is first asked for."""
        task = self._task
        if task is None:
            task = self._unread.read()
            # It is nobody else's yet; dataclasses.replace took 9 µs.
            object.__setattr__(task, "attempt", self)
            self._task = task
        return task

    @property
    def size(self) -> int:
        """How many bytes the task is, encoded."""
        return self._unread.size

    @property
    def interruption(self) -> Interruption | None:
        """Why the handler should stop, or None while it should not."""
        if self._interruption is None:
            now = elapsed()
            if now >= self.deadline_at:
                self._interruption = Interruption.DEADLINE
            elif now >= self.lease_until and not self.apart:
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

    def end(self) -> bool:
        """Whether the caller is the first to end this attempt; later ones must leave it alone.

        The handler's thread, the end of a shutdown's grace and a lost lease may all want to; a list's pop is
        atomic, and costs a third of a lock.
        """
        try:
            self._open.pop()
        except IndexError:
            return False
        return True

    def reopen(self) -> None:
        """Take an end back that could not be written: it may be ended again."""
        self._open.append(None)

    # A handler's own transaction.

    def pause(self) -> float:
        """Let nobody in this process touch the task as long as a transaction may hold it.

        A renewal would wait behind the transaction, and then find the lease lost. One that is under way is waited for.
        The seconds that are left of the lease.
        """
        self._again = None
        self._apart_until = elapsed() + LONGEST_TRANSACTION
        give_up_at = elapsed() + LONGEST_RENEWAL
        while self.renewing and elapsed() < give_up_at:
            threading.Event().wait(0.002)
        return self.lease_until - elapsed()

    def renewed(self, until: float) -> None:
        """Note that the lease lasts until then."""
        self.lease_until = until

    def resume(self, *, committed: bool, again: Snooze | None = None) -> None:
        """Go on as before, or as one whose ending is written.

        `again` stands for the error that it was raised from, should the handler end with that one.
        """
        self._again = again
        self._apart_until = FOREVER if committed else 0.0

    def meant(self, error: BaseException) -> BaseException:
        """What an error of the handler stands for."""
        return meant(error, self._again)

    @property
    def apart(self) -> bool:
        """Whether its lease is left alone: its transaction may be open, or has ended it."""
        return self._apart_until != 0.0 and elapsed() < self._apart_until

    @property
    def committed(self) -> bool:
        """Whether its transaction has ended it."""
        return self._apart_until == FOREVER

    def begin_renewal(self) -> bool:
        """Whether it may be renewed now; then `renewing` is to be taken back afterwards."""
        before, self.renewing = self.renewing, True
        # Noted first and looked for second, as `pause` does it the other way round: one of both sees the other.
        if self.apart:
            self.renewing = before
            return False
        return True

    @property
    def open(self) -> bool:
        """Whether nobody has ended it yet."""
        return bool(self._open)


def meant(error: BaseException, again: Snooze | None) -> BaseException:
    """What an error stands for: `again` where that was raised from it, else itself."""
    return again if again is not None and again.__cause__ is error else error
