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

        Every task named must be at the version that was read (`task.ref` remembers it), and not be held by another
        claimant; what you hold you name by the task that your claim brought, whose ref is the proof. A lease that has
        run out holds nothing, from a second after its end on: that much the clocks may differ. Renewals leave the
        version alone. A changed task that you hold stays held by you, unless it arrives anew (`queue`, `delay`,
        `run_at`): then it is given up, its attempt not charged. A finished task may be deleted and depended on, not
        changed. In a replica set, what was accepted is durable; two changes that depend on what the other writes
        are never both accepted.

        Args:
            modification: the change as a value; or its parts:
            insert: `NewTask`s. One with `on_conflict="skip"` drops out where its key or `unique` value is taken.
            change: of `task.as_change(...)`.
            delete, depend: tasks or their refs.
            session: a ClientSession of the queue's own client with a transaction in progress: nothing is seen
                before you commit it. Default: the session bound in this context, or a transaction of its own.

        Costs a handful of round trips for up to 1,000 tasks. Write conflicts and fail-overs are tried again for
        10 s. When it raises StorageUnavailable with `ambiguous` set, the change may have been made: call again with
        the same Modification, and it is made once (where all its insertions have keys of their own, or it changes
        a task).

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

    The block's writes must name the session, and be to collections of its client (`session.client`): open the
    queue on your own MongoClient, or use this one. The completion is the first write of the transaction and
    holds the task until its end, so nobody else can take it. The lease is renewed once before, for two minutes
    where it does not last that long, and not during the block; after one that raised, a worker and a `keepalive`
    bring it back to its own length. Where the task has already gone to another, the block is not entered. Of a
    process that dies inside the block the task is rescued when those two minutes are over.

    The block should be short: MongoDB aborts a transaction after 60 s. It is not repeated: what it raises
    aborts the transaction and passes on. Raised from a handler, a transient error (it bears the label
    `TransientTransactionError`: a write conflict, a fail-over) costs the task no attempt, it runs again after a
    pause of 0.1 to 10 s, the longer the more often it was given back; any other error, and one after 60 s, is a
    failure. By hand, begin again where you see that label. After the block the task is completed, whatever its
    handler returns or raises then. A coroutine calls a function with such a block by `asyncio.to_thread`.

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

    It is as `Queue.transaction` says.
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
