"""Verbs of batches: open one, close it, look at it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, Generic, ParamSpec, TypeVar, Unpack

from mongoq.api.base import Base
from mongoq.api.gathering.gathered import enqueued
from mongoq.api.streaming import streamed
from mongoq.api.verb import Awaited, Blocking, scope, verb
from mongoq.core.errors import InvalidTask
from mongoq.core.judging.follow_up import FollowUp, checked_follow_up
from mongoq.core.requests import checked_key
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.task import Task
from mongoq.core.validation import Checker
from mongoq.flow.batch import Batch
from mongoq.flow.given import BatchLike
from mongoq.functions.options import TaskOptions
from mongoq.storage.commands import Op
from mongoq.storage.control import Entered
from mongoq.storage.documents import drafting
from mongoq.storage.drivers.sessions import AwaitedSession, BlockingSession, Session
from mongoq.storage.operations.flow import batches as stored
from mongoq.storage.operations.namespace import orders

LONGEST_KEY: Final = 400
MOST_TOLD: Final = 1_000
MEMBER: Final = NewTask(batch="a batch")
"""Stands for the members of any batch."""
P = ParamSpec("P")
H = TypeVar("H", bound="_Open")


class _Inside:
    """The inside of an open batch."""

    def __init__(self, base: Base, key: str, session: Any) -> None:
        self.base = base
        self.driver = base.driver
        self.key = key
        self.session = session

    def member(self, task: NewTask) -> NewTask:
        """The same task as a member of this batch, or InvalidTask where it is one of another."""
        if task.batch not in (None, self.key):
            checker = Checker(InvalidTask)
            checker.refuse("batch", task.batch, f"left out: it is a member of the batch {self.key!r}")
            checker.finish()
        return replace(task, batch=self.key)


def _like_new(build: Callable[P, NewTask]) -> verb[P, Task]:
    """Declare `new` with the arguments of a NewTask."""

    def new(inside: _Inside, /, *args: P.args, **options: P.kwargs) -> Op[Task]:
        """Enqueue a member, and return it: tags with options, a whole `NewTask`, or the call of a task function."""
        whole = args[0] if args and isinstance(args[0], NewTask) and not options else build(*args, **options)
        return (yield from enqueued(inside.base, inside.member(whole), inside.session))

    return verb(new)


class _Open:
    """An open batch: what is enqueued by it is a member."""

    _base: _Inside

    def __init__(self, inside: _Inside) -> None:
        self._base = inside

    @property
    def key(self) -> str:
        """Its key, by which others add members: `queue.new(..., batch=key)`. Its callback has the same."""
        return self._base.key

    new = _like_new(NewTask)

    @verb
    def new_many(
        inside: _Inside, /, tasks: Iterable[Mapping[str, Any] | NewTask], **options: Unpack[TaskOptions]
    ) -> Op[list[Task]]:
        """Enqueue members in this order, in one round trip per 1,000, and return them: as `queue.new_many`."""
        many: list[Task] = []

        def collect(drafts: list[drafting.Draft], others: drafting.Others) -> None:
            many.extend(drafting.all_made(inside.base.context, drafts, others))

        members = (inside.member(task) if isinstance(task, NewTask) else task for task in tasks)
        given = {**options, "batch": inside.key}
        yield from streamed(inside.base, members, given, inside.session, collect, wait=0)
        return many


class OpenBatch(_Open, Blocking):
    """An open batch of a `Queue`: `with queue.batch(then=report.call()) as batch: batch.new(...)`."""


class AsyncOpenBatch(_Open, Awaited):
    """`OpenBatch` of an `AsyncQueue`: `await batch.new(...)`."""


class Batching(Generic[Session, H]):
    """Verbs that may take part in a transaction of the caller's."""

    @scope
    def batch(
        base: Base,
        then: Any = None,
        on_failure: Any = None,
        *,
        key: str | None = None,
        batch: BatchLike | None = None,
        session: Session | None = None,
    ) -> Op[H]:
        """Open a batch for a block: the tasks that `batch.new` and `batch.new_many` enqueue are its members.

            with queue.batch(then=report.call()) as batch:
                batch.new_many({"page": page} for page in pages)

        Members may run at once. When the block has ended and all members have ended, the callback is enqueued: once,
        whatever crashes. A running member may add members, by `queue.new(..., batch=task.batch)`. If the block
        raises, the batch stays open and does not call back: `close_batch(key)` closes it, from any process.

        Args:
            then: what to enqueue when all members have ended: a task function, its call, or a `NewTask` with queue,
                name, priority and tags. Its payload counts the members: `completed`, `failed`, `cancelled` and
                `expired`. It has the key of the batch.
            on_failure: what to enqueue instead if a member did not complete. Default: `then`.
            key: its key, up to 400 characters. Default: a generated one.
            batch: the batch around it, which waits for the callback of this one as for any member.
            session: as for `new`: the batch and its members are part of this transaction.

        Raises:
            InvalidTask: something is not acceptable; nothing was written.
            DuplicateTask: a task or batch has this key.
            BatchFinished: the batch around it takes no members.
        """
        task, *callbacks = _checked(then, on_failure, key, batch)
        joined = base.joined(session)
        base.check_accepting()
        base.use(MEMBER)
        opening = stored.open_batch(base.context, base.hooks.fill(task), *callbacks, within=joined is not None)
        inside = _Inside(base, (yield from base.write(opening, joined)), joined)
        opened: Any = (AsyncOpenBatch if base.driver.AWAITED else OpenBatch)(inside)
        yield Entered(opened)
        yield from base.send(stored.close(base.context, inside.key, within=joined is not None), joined)
        result: H = opened
        return result


@verb
def close_batch(base: Base, key: BatchLike) -> Op[None]:
    """Close a batch that an error in its block left open, so that it calls back once all its members have ended.

    Closing it again changes nothing.

    Raises:
        BatchNotFound: no batch has this key.
    """
    base.use(MEMBER)
    yield from base.send(stored.close(base.context, checked_key(getattr(key, "key", key))))


@verb
def get_batch(base: Base, key: BatchLike) -> Op[Batch]:
    """Return a batch with the counts of its members.

    Raises:
        BatchNotFound: no batch has this key: it never existed, or its callback is no longer kept.
    """
    return (yield from base.read(stored.get(base.context, checked_key(getattr(key, "key", key)))))


@verb
def batches(base: Base, limit: int = 20) -> Op[list[Batch]]:
    """Return the newest batches that have not called back, with the counts of their members.

    Args:
        limit: at most so many, 1 to 1,000.

    Raises:
        ConfigurationError: `limit` is out of bounds.
    """
    checker = Checker()
    checker.integer("limit", limit, 1, MOST_TOLD)
    checker.finish()
    if not (yield from base.read(orders.uses_flow(base.context))):
        return []
    return (yield from base.read(stored.waiting(base.context, limit)))


def _checked(
    then: Any, on_failure: Any, key: str | None, batch: BatchLike | None
) -> tuple[NewTask, FollowUp | None, FollowUp | None]:
    checker = Checker(InvalidTask)
    if key is not None:
        checker.text("key", key, LONGEST_KEY)
    well = None if then is None else checked_follow_up(checker, "then", then)
    otherwise = None if on_failure is None else checked_follow_up(checker, "on_failure", on_failure)
    checker.finish()
    first = well or otherwise
    if first is None:
        return NewTask(key=key, batch=batch), None, None
    task = NewTask(key=key, batch=batch, queue=first.queue, name=first.name, priority=first.priority)
    return task, well, otherwise


blocking: Final = Batching[BlockingSession, OpenBatch]()
awaited: Final = Batching[AwaitedSession, AsyncOpenBatch]()
