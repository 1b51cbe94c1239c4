"""Verbs of those who claim by hand: take tasks, and keep them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mongoq.api.base import Base
from mongoq.api.verb import scope, stream, verb
from mongoq.core.clock import elapsed
from mongoq.core.judging.verdict import Outcome, Released, Returned
from mongoq.core.requests import ClaimRequest, check_alone, checked_claim, checked_lease, checked_seconds, checked_tasks
from mongoq.core.tasks.modification import Modification, TaskRef
from mongoq.core.tasks.task import Task
from mongoq.core.validation import Checker, Duration
from mongoq.storage.commands import Op
from mongoq.storage.control import Entered
from mongoq.storage.operations import finish, leases
from mongoq.storage.operations.claiming import exactly, first, many
from mongoq.storage.operations.recovery.interrupted import Claiming, ended_anyway, given_back

if TYPE_CHECKING:
    from mongoq.worker.manual.keepalive import Keepalive

T = TypeVar("T")

NOTHING: Final = Modification()


@verb
def try_claim(
    base: Base,
    queues: str | Sequence[str] = "default",
    *,
    lease: Duration | None = None,
    claimant: str | None = None,
    where: Mapping[str, Any] | None = None,
) -> Op[Task | None]:
    """Claim the most urgent task that is due under a lease, and return it; None if no task is due.

    End the task with `complete`, `fail`, `retry`, `snooze`, `release` or `move`, within its lease or inside
    `keepalive`. Each of them raises LeaseLost, and writes nothing, if the task has gone to another claimant.

    Args:
        queues: up to 100 names; the most urgent task of all of them is taken.
        lease: how long it is held, at least 1 s. Default: the task's own, else the queue's.
        claimant: the name of the holder. Default: `claimant` of this object.
        where: only a task with these tags, as for `run`. A claim reads the ready tasks that it passes over.

    Raises:
        ConfigurationError: an argument is not acceptable.
    """
    wanted = checked_claim(queues, lease, base.claimant if claimant is None else claimant, where)
    return (yield from _taken(base, wanted, first.try_claim))


@verb
def claim(
    base: Base,
    queues: str | Sequence[str] = "default",
    *,
    timeout: Duration | None = None,
    lease: Duration | None = None,
    claimant: str | None = None,
    where: Mapping[str, Any] | None = None,
    key: str | None = None,
    depend: Iterable[Task | TaskRef] = (),
) -> Op[Task | None]:
    """Claim a task as `try_claim` does, and wait until there is one; None if there was none within `timeout`.

    A change stream and a timer wake it within milliseconds when a task is enqueued, becomes due or loses its worker; it
    also polls, every 5 s beside a stream, else every second. All calls that wait in this process for the same queues
    and tags share the stream, and a wake-up wakes one of them.

    Args:
        timeout: how long to wait. Default: for ever; 0: as `try_claim`.
        key: claim this task, of any queue. The call does not wait: if the task cannot be claimed now, it raises.
        depend: tasks, or their refs, that must be at the versions that were read, such as a configuration that the
            work uses. The claim writes to them in its transaction, which needs a replica set; their version stays.

    The other arguments are those of `try_claim`.

    Raises:
        ConfigurationError: an argument is not acceptable.
        DependencyError: a task of `depend` has changed (`missing`), or it or the task of `key` is held by another
            claimant (`claimed`). Nothing was claimed.
        TaskNotFound: no task has this `key`.
        WrongState: the task of this `key` has finished, or is not due.
        QueueClosed: the queue was closed meanwhile.
        StorageError: MongoDB does not answer, or refuses. Call again: unlike a worker it does not go on trying.
    """
    wanted = checked_claim(queues, lease, base.claimant if claimant is None else claimant, where)
    needed = Modification(depend=depend)
    if key is not None:
        check_alone(key, timeout=timeout, where=where)
        return (yield from _taken(base, wanted, partial(exactly.by_key, key=key, depend=needed)))
    return (yield from _claim(base, wanted, elapsed() + checked_seconds("timeout", timeout), needed))


@verb
def claim_many(
    base: Base,
    limit: int,
    queues: str | Sequence[str] = "default",
    *,
    lease: Duration | None = None,
    claimant: str | None = None,
    where: Mapping[str, Any] | None = None,
) -> Op[list[Task]]:
    """Claim up to `limit` tasks (1 to 1,000) that are due, the most urgent first, in two round trips.

    They share one token, and one renewal keeps them all. At most 16 of them are tasks that a vanished claimant held
    before, since one of those may be what ended it. The other arguments are those of `try_claim`.

    Raises:
        ConfigurationError: an argument is not acceptable.
    """
    wanted = checked_claim(queues, lease, base.claimant if claimant is None else claimant, where, limit)
    return (yield from _taken(base, wanted, many.claim_batch))


@stream
def claims(
    base: Base,
    queues: str | Sequence[str] = "default",
    *,
    timeout: Duration | None = None,
    lease: Duration | None = None,
    claimant: str | None = None,
    where: Mapping[str, Any] | None = None,
) -> Op[Task]:
    """Claim task after task: `for task in queue.claims("pages"):`, each kept alive while the loop's body has it.

    Going on to the next task completes the one before, unless the body has ended it. If the loop is left early, by
    `break` or by an error, its task is released. The loop ends when no task came within `timeout`. The arguments are
    those of `claim`.

    Raises:
        LeaseLost: the body no longer holds its task; a new loop may follow.
        ConfigurationError, QueueClosed, StorageError: as from `claim`.
    """
    wanted = checked_claim(queues, lease, base.claimant if claimant is None else claimant, where)
    patience = checked_seconds("timeout", timeout)
    while (task := (yield from _claim(base, wanted, elapsed() + patience))) is not None:
        yield from _worked(base, task, wanted.lease)
    over: Any = None  # the declared type is that of the values it enters with
    return over  # type: ignore[no-any-return]


@verb
def renew(base: Base, tasks: Task | Iterable[Task], lease: Duration | None = None) -> Op[None]:
    """Hold claimed tasks for `lease` from now on; by default each for its own. One update renews them all.

    A lease that has run out is renewed too, if no other claimant has taken the task.

    Raises:
        LeaseLost: tasks are not held any more. `keys` names them, and the others are renewed.
        ConfigurationError: an argument is not acceptable.
        StorageUnavailable: some may not be renewed, because no majority answers or an open transaction holds them.
            Call again; until a call returns, the previous leases count.
    """
    checker = Checker()
    length = checked_lease(checker, lease)
    checker.finish()
    yield from base.write(leases.renew_each(base.context, checked_tasks(tasks), length))


@scope
def keepalive(base: Base, tasks: Task | Iterable[Task], lease: Duration | None = None) -> Op[Keepalive]:
    """Renew claimed tasks in the background while a `with` block runs: `with queue.keepalive(tasks) as kept:`.

    They are renewed at the beginning of the block for `lease` (default: each for its own), then after every third of
    it, all in one update. Tasks that are ended inside the block through this object are no longer renewed.

    A lost lease is not raised into the running block. There are three ways to learn of it: `kept.lost` names the
    tasks, `kept.check()` raises LeaseLost, and so does the end of a block that raises nothing itself. `task.cancelled`
    of the objects that were passed in tells it too, as well as a cancel request. A loss is noticed within 2 s, and at
    once where a lease ends because it could not be renewed.

    Raises:
        ConfigurationError: an argument is not acceptable.
        LeaseLost, StorageUnavailable: at the beginning, as from `renew`; the block is not entered.
    """
    checker = Checker()
    length = checked_lease(checker, lease)
    checker.finish()
    kept = yield from _kept(base, checked_tasks(tasks), length)
    try:
        yield Entered(kept)
    finally:
        kept.end()
    kept.check()
    return kept


def _claim(base: Base, wanted: ClaimRequest, deadline: float, depend: Modification = NOTHING) -> Op[Task | None]:
    """Claim a task, and wait for one until the deadline, on `elapsed()`."""
    now: Claiming[Task | None] = first.try_claim
    then: Claiming[Task | None] = first.claim_one
    if len(depend):
        now = partial(exactly.most_urgent, depend=depend, sweeping=True)
        then = partial(exactly.most_urgent, depend=depend, sweeping=False)
    task = yield from _taken(base, wanted, now)
    if task is not None or elapsed() >= deadline:
        return task
    hand = yield from base.hand()
    return (yield from hand.claim(wanted, lambda: _taken(base, wanted, then), deadline))


def _taken(base: Base, wanted: ClaimRequest, claim: Claiming[T]) -> Op[T]:
    """What a claim brings, which is given back where the caller is interrupted."""
    return (yield from base.write(given_back(base.context, wanted, claim)))


def _worked(base: Base, task: Task, lease: timedelta | None) -> Op[None]:
    """Keep a task while the loop's body has it: complete it after that, release it where the loop is left."""
    kept: Keepalive | None = None
    try:
        kept = yield from _kept(base, [task], lease)
        yield Entered(task)
    except GeneratorExit:
        if kept is not None:
            kept.end()
        raise
    except BaseException:
        if kept is None or kept.end():
            yield from _ended(base, task, Released())
        raise
    if kept.end():
        yield from _ended(base, task, Returned())
    kept.check()


def _ended(base: Base, task: Task, outcome: Outcome) -> Op[None]:
    end = lambda: base.write(finish.settle(base.context, [task], outcome, base.claimant))  # noqa: E731
    yield from ended_anyway(end)


def _kept(base: Base, tasks: Sequence[Task], lease: timedelta | None) -> Op[Keepalive]:
    """Renew tasks, and go on renewing them in the background."""
    hand = yield from base.hand()
    kept = hand.keep(tasks, lease)
    sent = elapsed()
    yield from base.write(leases.renew_each(base.context, tasks, lease))
    kept.begin(sent)
    return kept
