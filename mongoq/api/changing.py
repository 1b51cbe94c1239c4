"""Verbs of atomic changes: of tasks among themselves, and of tasks together with the application's data."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, Final, Generic

from mongoq.api.base import Base
from mongoq.api.verb import scope, verb
from mongoq.core.requests import checked_task
from mongoq.core.tasks.modification import Change, Modification, Modified, TaskRef
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import Op
from mongoq.storage.control import Abort, Commit, Entered, OpenTransaction
from mongoq.storage.drivers.sessions import AsyncClientSession, AwaitedSession, BlockingSession, ClientSession, Session
from mongoq.storage.operations import finish, leases
from mongoq.storage.operations.limits import keeping
from mongoq.storage.operations.modify import apply


class Changing(Generic[Session]):
    """A verb that may take part in a transaction of the caller's, in a session of the queue's own tempo."""

    @verb
    def modify(
        base: Base,
        modification: Modification | None = None,
        *,
        insert: Iterable[NewTask] = (),
        change: Iterable[Change] = (),
        delete: Iterable[TaskRef | Task] = (),
        depend: Iterable[TaskRef | Task] = (),
        session: Session | None = None,
    ) -> Op[Modified]:
        """Insert, change and delete tasks all together or not at all, and only if others are as they were read.

        Every named task must be at the version that was read (`task.ref` remembers it), and must not be held by another
        claimant. To change a task that you hold, pass the `Task` returned by your claim: its ref carries the lease
        token. A lease protects its task until one second after its end, the tolerance for clock skew. Renewals leave
        the version alone. A task that you hold stays held by you when it is changed, unless it gets a new `queue`,
        `delay` or `run_at`: then it is released uncharged. A finished task can be deleted and depended on, but not
        changed. On a replica set an accepted change is durable, and two changes that each depend on what the other
        writes are never both accepted.

        Args:
            modification: the change as a value; or its parts:
            insert: `NewTask`s. One with `on_conflict="skip"` drops out where its key or `unique` value is taken.
            change: of `task.as_change(...)`.
            delete, depend: tasks or their refs.
            session: a ClientSession of the queue's own client with a transaction in progress: the change takes effect
                when you commit. Default: the session bound in this context, or a transaction of its own.

        It costs a few round trips for up to 1,000 tasks, the most that it takes. Write conflicts and fail-overs are
        retried for 10 s. When it raises StorageUnavailable with `ambiguous` set, the change may have been made: call
        again with the same Modification, and it is made once, if all its insertions have keys of your own, or it
        changes a task.

        Raises:
            InvalidTask: something is not acceptable; nothing was sent.
            DependencyError: refused; `missing`, `claimed` and `collisions` say why, and nothing was written.
            Unsupported: the server stands alone and has no transactions; a replica set of one node is enough.
        """
        whole = base.hooks.fill_change(Modification.of(modification, insert, change, delete, depend))
        for new in whole.insert:
            base.check_accepting()
            base.use(new)
            if new.limits:
                yield from base.read(keeping.check(base.context, new.limits))
        joined = base.joined(session)
        # What the caller's own transaction takes from a keepalive is only told by its commit, which is not seen here.
        with base.ending(whole.given_up if joined is None else []):
            return (yield from base.send(apply.modify(base.context, whole, alone=joined is None), joined))


blocking: Final = Changing[BlockingSession]()
awaited: Final = Changing[AwaitedSession]()


@scope
def transaction(base: Base, task: Task, result: Any = None) -> Op[ClientSession]:
    """Complete a task together with writes of your own: both take effect, or neither.

        with queue.transaction(task) as session:
            session.client["shop"]["orders"].update_one({...}, {...}, session=session)

    The block's writes must pass the session and use its client (`session.client`): open the queue on your own
    MongoClient, or use this one. The completion is the first write of the transaction and locks the task until its
    end, so no other claimant can take it. If the task has already gone to another claimant, the block is not entered.
    The lease is renewed once before the block, for at least two minutes, and not during it; if the block raises, a
    worker or a `keepalive` resets it to its own length. If the process dies inside the block, the task is rescued
    after those two minutes.

    Keep the block short: MongoDB aborts a transaction after 60 s. The block is not repeated: an error in it aborts
    the transaction and is raised. In a handler, a transient error (with the label `TransientTransactionError`: a write
    conflict, a fail-over) costs the task no attempt; it runs again after a pause that grows from 0.1 to 10 s. Any
    other error, or one after 60 s, is a failure. By hand, begin again when an error has that label. After the block
    the task is completed, whatever its handler returns or raises then. In a coroutine, call a function with such a
    block by `asyncio.to_thread`.

    Raises:
        ConfigurationError: `task` is no task.
        InvalidTask: the result cannot be stored, or names tasks to follow: enqueue those in the block.
        LeaseLost: the task is not held any more; nothing was written.
        StorageUnavailable: the commit failed; with `ambiguous`, it may have been made.
        Unsupported: the server stands alone and has no transactions; a replica set of one node is enough.
    """
    session: ClientSession = yield from _completing(base, task, result)
    return session


@scope
def async_transaction(base: Base, task: Task, result: Any = None) -> Op[AsyncClientSession]:
    """Complete a task together with writes of your own: both take effect, or neither.

        async with queue.transaction(task) as session:
            await session.client["shop"]["orders"].update_one({...}, {...}, session=session)

    Its promises are those of `Queue.transaction`.

    Raises:
        ConfigurationError, InvalidTask, LeaseLost, StorageUnavailable, Unsupported: as from `Queue.transaction`.
    """
    session: AsyncClientSession = yield from _completing(base, task, result)
    return session


def _completing(base: Base, task: Task, result: Any) -> Op[Any]:
    """The caller's block, in a transaction that begins with the completion of a task."""
    from mongoq.worker.task_transaction import (  # noqa: PLC0415 -- a producer is spared the worker
        TransactionHolder,
        holding_lease,
    )

    held = checked_task(task)
    first = functools.partial(finish.complete_first, base.context, held, result, base.claimant)
    renew = lambda lease: base.write(leases.renew_each(base.context, [held], lease))  # noqa: E731
    opened = held.attempt.note_session if isinstance(held.attempt, TransactionHolder) else None
    with base.ending([held]):
        return (yield from holding_lease(held, renew, lambda: in_transaction(first, opened)))


def in_transaction(first: Callable[[], Op[object]], opened: Callable[[bytes], object] | None = None) -> Op[Any]:
    """The caller's block, in a transaction that begins with `first` and is committed where the block ends well.

    `opened` is told the session, by which another thread may have the server abort the transaction.
    """
    session = yield OpenTransaction(first)
    if opened is not None:
        opened(bytes(session.session_id["id"]))
    try:
        yield Entered(session)
    except GeneratorExit:
        raise
    except BaseException:
        yield Abort(session)
        raise
    yield Commit(session)
    return session
