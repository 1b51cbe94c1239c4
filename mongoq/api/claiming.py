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
from mongoq.core.requests import ClaimRequest, checked_claim, checked_lease, checked_seconds, checked_tasks
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
    """Lease the most urgent task that is due; None where there is none.

    End it with `complete`, `fail`, `retry`, `snooze`, `release` or `move`, within its lease or inside
    `keepalive`. Each of them raises LeaseLost, and writes nothing, where the task has gone to another claimant.

    Args:
        queues: up to 100 names; the most urgent task of all of them is taken.
        lease: for how long it is held, at least 1 s. Default: the task's own, else the queue's.
        claimant: who holds it then. Default: `claimant` of this object.
        where: only a task with these tags, as for `run`. A claim reads the ready tasks it passes over.
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
    """Do as `try_claim`, and wait until there is a task; None where there was none within `timeout`.

    It starts within milliseconds of new work, of a task that falls due and of one whose worker vanished, told
    by a change stream and a timer; a poll (every second, or every 5 s beside a stream) is the floor. All who
    wait in this process for the same queues and tags share these, and a piece of news calls one of them.

    Args:
        timeout: how long to wait. Default: for ever; 0: as `try_claim`.
        key: that one task, of any queue. It does not wait: a task that cannot be claimed now is an error.
        depend: tasks, or their refs, that must be as they were read, such as the configuration that the work is done
            by. The claim writes to them in its transaction, which needs a replica set; their version stays.

    The other arguments are those of `try_claim`.

    Raises:
        DependencyError: a task of `depend` has changed (`missing`) or is held by another; or that of `key` is
            (`claimed`). Nothing was claimed.
        TaskNotFound: no task has this `key`.
        WrongState: the task of this `key` has finished, or is not due.
        QueueClosed: the queue was closed meanwhile.
        StorageError: MongoDB does not answer, or refuses. Call again: unlike a worker it does not go on trying.
    """
    wanted = checked_claim(queues, lease, base.claimant if claimant is None else claimant, where)
    needed = Modification(depend=depend)
    if key is not None:
        _alone(key, timeout=timeout, where=where)
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
    """Lease up to `limit` tasks (1 to 1,000) that are due, the most urgent first, in two round trips.

    They share one token, and one renewal keeps them all. What was lost with a claimant that vanished is held
    back to 16 of a batch, as it may be what ended it. The other arguments are those of `try_claim`.
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

    Going on to the next task completes the one before, unless the body has ended it otherwise. Where the loop is left
    early, by `break` or by an error, the task is released. The loop ends where no task came within `timeout`.

    The arguments are those of `claim`.

    Raises:
        LeaseLost: the task that the body had is not held any more; the loop may be begun again.
        QueueClosed, StorageError: as from `claim`.
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

    A lease that ran out but that nobody took is renewed too.

    Raises:
        LeaseLost: it names those that are not held any more; the others are renewed.
        StorageUnavailable: some may not be renewed, as no majority answers or somebody's open transaction holds
            them. Call again; until it returns, the leases before count.
    """
    checker = Checker()
    length = checked_lease(checker, lease)
    checker.finish()
    yield from base.write(leases.renew_each(base.context, checked_tasks(tasks), length))


@scope
def keepalive(base: Base, tasks: Task | Iterable[Task], lease: Duration | None = None) -> Op[Keepalive]:
    """Renew claimed tasks in the background while a `with` block runs: `with queue.keepalive(tasks) as kept:`.

    They are renewed at its beginning for `lease` (default: each for its own), then at every third of it, all in
    one update. Tasks that are ended inside the block through this object are renewed no more.

    A lease that was lost is never raised into the running block. There are three ways to learn of it:
    `kept.lost` names the tasks, `kept.check()` raises LeaseLost, and so does the end of a block that raises
    nothing itself. `task.cancelled` tells it too, and a cancel request, of the very objects passed in. A loss is
    seen within 2 s, and the end of a lease that could not be renewed at once.

    Raises:
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


def _alone(key: str, **others: Any) -> None:
    """Check the key of a claim; what chooses or waits does not go with it."""
    checker = Checker()
    checker.text("key", key, 512)
    for name, value in others.items():
        if value is not None:
            checker.refuse(name, value, "given together with key, which names the task and does not wait")
    checker.finish()


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
