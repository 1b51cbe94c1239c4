"""One write for the calls of many threads or coroutines, without a thread of its own.

A call joins the group that is gathering; the first of a group leads it. The leader waits until the write under way
has ended and about as many have come as wrote last time (a lone caller waits for nobody), then writes for all, and
each call returns or raises by itself. While one group is written, the next gathers.

One write at a time: with two, the groups halved, and threads were switched more often than writes were saved (16
threads, 2 cores: 4,600 tasks/s with one, 3,600 with two and 3,900 with three, medians of six alternating rounds of
the benchmark `enqueue.buffer` on a busy machine).
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ParamSpec

from mongoq.api.base import Base
from mongoq.api.gathering import Call, Gathering, Group
from mongoq.api.verb import Awaited, Blocking, scope, verb
from mongoq.core.clock import elapsed
from mongoq.core.errors import MongoqError, StorageUnavailable
from mongoq.core.host.waiter import Waiter
from mongoq.core.new_task import NewTask
from mongoq.core.task import Task
from mongoq.core.validation import Checker, Duration
from mongoq.storage.commands import Op
from mongoq.storage.control import Apart, Entered, Measure, Wait
from mongoq.storage.operations.enqueue import Others, any_unique, draft, made, together
from mongoq.storage.operations.schema import keeping_unique

__all__ = ["AsyncBuffer", "Buffer"]

P = ParamSpec("P")


class Groups:
    """The inside of a buffer: its groups, its lock, and the leader that waits."""

    def __init__(self, base: Base, max_delay: float) -> None:
        self.base = base
        self.driver = base.driver
        self._lock = threading.Lock()
        self._gathering = Gathering(max_delay)
        self._changed: list[Waiter] = []
        """Those who wait for a change: leaders, and who closes the buffer."""

    def add(self, call: Call) -> Group:
        """Let a call join the group that is gathering, and wake its leader where that has waited long enough."""
        with self._lock:
            group = self._gathering.join(call)
            if group.calls[0] is not call and self._gathering.complete(group):
                self._tell()
            return group

    def lead(self, group: Group) -> Op[None]:
        """Write for all calls of a group, once they are gathered."""
        while True:
            with self._lock:
                wait = self._gathering.patience(group, elapsed())
                if wait == 0:
                    self._gathering.begin()
                    break
                waiter = self._watching()
            yield Wait(waiter, wait)
        # A leader's session or time limit is not the others', nor is its cancellation: they wait for the write.
        yield Apart(self._written(group))

    def give_up(self, group: Group, call: Call) -> None:
        """Take out a call that was interrupted: a signal, the deadline of a handler, a cancelled coroutine."""
        with self._lock:
            heir = self._gathering.leave(group, call)
            self._tell()
        if heir:
            heir.waiter.notify()

    def close(self) -> Op[None]:
        """Take no more calls, and wait for those under way."""
        with self._lock:
            self._gathering.closed = True
            self._tell()
        while True:
            with self._lock:
                if not self._gathering.busy:
                    return
                waiter = self._watching()
            yield Wait(waiter)

    def _written(self, group: Group) -> Op[None]:
        others: Others | None = None
        try:
            drafts = [call.draft for call in group.calls]
            op = together(self.base.context, drafts)
            others = yield from self.base.send(keeping_unique(self.base.context, op) if any_unique(drafts) else op)
        except MongoqError as error:
            others = {place: _own(error) for place in range(len(group.calls))}
        finally:  # whatever interrupts it: the others wait for it
            self._answer(group, others)

    def _answer(self, group: Group, others: Others | None) -> None:
        with self._lock:
            self._gathering.end(group)
            self._tell()
        for place, call in enumerate(group.calls):
            if others is None:
                call.other = StorageUnavailable("who wrote this task was interrupted", ambiguous=True)
            else:
                call.other = others.get(place)
            call.over = True
            call.waiter.notify()

    def _watching(self) -> Waiter:
        waiter = Waiter()
        self._changed.append(waiter)
        return waiter

    def _tell(self) -> None:
        changed, self._changed = self._changed, []
        for waiter in changed:
            waiter.notify()


def _like_new(build: Callable[P, NewTask]) -> verb[P, Task]:
    """Declare `new` with the arguments of a NewTask."""

    def new(groups: Groups, /, *args: P.args, **options: P.kwargs) -> Op[Task]:
        """Enqueue a task and return it, as `Queue.new` does, whose arguments, errors and promises it has.

        What is wrong with one task is raised in its own call alone; StorageUnavailable in all of its group.
        QueueClosed after the end of the buffer.
        """
        task = build(*args, **options)
        groups.base.check_accepting()
        yield Measure()
        call = Call(draft(groups.base.context, task))
        group = groups.add(call)
        try:
            if group.calls[0] is not call:
                yield Wait(call.waiter)
            if not call.over:  # it leads, from the start or in place of one that gave up
                yield from groups.lead(group)
        except BaseException:
            groups.give_up(group, call)
            raise
        return made(groups.base.context, call.draft, call.other)

    return verb(new)


class Buffer(Blocking):
    """Groups the enqueues of many threads into one write; `Queue.buffer` makes it. Callable from any thread."""

    def __init__(self, groups: Groups) -> None:
        self._base = groups

    new = _like_new(NewTask)


class AsyncBuffer(Awaited):
    """Groups the enqueues of many coroutines into one write; `AsyncQueue.buffer` makes it."""

    def __init__(self, groups: Groups) -> None:
        self._base = groups

    new = _like_new(NewTask)


@scope
def buffer(base: Base, *, max_delay: Duration = 0.005) -> Op[Buffer]:
    """Group the enqueues of many threads into one write: `with queue.buffer() as buffer: buffer.new(tags)`.

    Each `buffer.new` returns or raises by itself as `new` does, with the same promises, but outside of the caller's
    transaction or time limit of the driver's, which are not its group's. The end of the `with` waits for those under
    way; later ones raise QueueClosed.

    Args:
        max_delay: the longest time a write waits for company, beyond the end of the write before it. It waits for as
            many as came last time, so a lone caller does not wait.

    Raises:
        ConfigurationError: `max_delay` is no duration.
    """
    opened: Buffer = yield from _opened(base, max_delay, Buffer)
    return opened


@scope
def async_buffer(base: Base, *, max_delay: Duration = 0.005) -> Op[AsyncBuffer]:
    """Group the enqueues of many coroutines: `async with queue.buffer() as buffer: await buffer.new(tags)`.

    It is as `Queue.buffer` says, for coroutines.
    """
    opened: AsyncBuffer = yield from _opened(base, max_delay, AsyncBuffer)
    return opened


def _opened(base: Base, max_delay: Duration, kind: Callable[[Groups], Any]) -> Op[Any]:
    checker = Checker()
    delay = checker.duration("max_delay", max_delay)
    checker.finish()
    groups = Groups(base, (delay or timedelta(0)).total_seconds())
    try:
        opened = kind(groups)
        yield Entered(opened)
    except GeneratorExit:
        raise
    except BaseException:
        yield from groups.close()
        raise
    yield from groups.close()
    return opened


def _own(error: MongoqError) -> MongoqError:
    """The same error, to be raised in another caller: an exception collects where it has been."""
    own = copy.copy(error)
    own.__cause__ = error.__cause__
    return own
