"""One write for the calls of many threads, without a thread of its own.

A call joins the group that is gathering; the first of a group leads it. The leader waits until the write under way
has ended and about as many have come as wrote last time (a lone thread waits for nobody), then writes for all, and
each call returns or raises by itself. While one group is written, the next gathers.

One write at a time: with two, the groups halved, and threads were switched more often than writes were saved (16
threads, 2 cores: 4,600 tasks/s with one, 3,600 with two and 3,900 with three, medians of six alternating rounds of
the benchmark `enqueue.buffer` on a busy machine).
"""

from __future__ import annotations

import contextvars
import copy
import threading
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self

from mongoq.core.clock import elapsed
from mongoq.core.errors import MongoqError, QueueClosed, StorageUnavailable
from mongoq.core.new_task import NewTask
from mongoq.core.task import Task
from mongoq.core.validation import arguments_of, suggesting
from mongoq.storage.commands import Op
from mongoq.storage.context import Context
from mongoq.storage.operations.enqueue import CHUNK, CHUNK_BYTES, Draft, Others, draft, made, together

__all__ = ["Buffer"]


class Call:
    """One call of `new` that waits for its group."""

    __slots__ = ("draft", "gate", "other", "over")

    def __init__(self, draft: Draft) -> None:
        self.draft: Final = draft
        self.gate: Final = threading.Lock()
        self.gate.acquire()  # released by its leader
        self.over = False
        self.other: Any = None


class Group:
    """Calls that are written together."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.size = 0
        self.first_at: float | None = None
        """Since when nothing but the wish for company keeps it back."""


class Gathering:
    """Who is in which group, and when a group goes: decisions only, for whoever holds the lock."""

    def __init__(self, max_delay: float) -> None:
        self._max_delay: Final = max_delay
        self._groups: deque[Group] = deque()
        self._writing = False
        self._expected = 1
        self.closed = False

    @property
    def busy(self) -> bool:
        """Whether anything is gathering or being written."""
        return self._writing or bool(self._groups)

    def join(self, call: Call) -> Group:
        """The group of this call. It leads where it is the first there."""
        if self.closed:
            raise QueueClosed("this buffer was closed")
        size = len(call.draft.body.raw)
        last = self._groups[-1] if self._groups else None
        if last is None or len(last.calls) == CHUNK or last.size + size > CHUNK_BYTES:
            last = Group()
            self._groups.append(last)
        last.calls.append(call)
        last.size += size
        return last

    def complete(self, group: Group) -> bool:
        """Whether a group has waited for company long enough, however short that was."""
        return self.closed or len(group.calls) >= self._expected or self._groups[-1] is not group

    def patience(self, group: Group, now: float) -> float | None:
        """Seconds that a group should wait yet, 0 where it should go; None: until another has been written."""
        if self._writing or self._groups[0] is not group:
            return None
        if group.first_at is None:
            group.first_at = now
        return 0 if self.complete(group) else max(0.0, group.first_at + self._max_delay - now)

    def begin(self) -> None:
        """The first group is being written."""
        self._groups.popleft()
        self._writing = True

    def end(self, group: Group) -> None:
        """It was written; as many are expected next time."""
        self._writing = False
        self._expected = len(group.calls)

    def leave(self, group: Group, call: Call) -> Call | None:
        """Take out a call that gives up, if its group has not gone yet; returns who has to lead in its place."""
        if group not in self._groups:
            return None
        led = group.calls[0] is call
        group.calls.remove(call)
        if not group.calls:
            self._groups.remove(group)
        return group.calls[0] if led and group.calls else None


class Buffer:
    """Groups the enqueues of many threads into one write; `Queue.buffer` makes it. Callable from any thread."""

    def __init__(
        self, context: Context, measure: Callable[[], None], send: Callable[[Op[Others]], Others], max_delay: float
    ) -> None:
        self._context = context
        self._measure = measure
        self._send = send
        self._changed = threading.Condition(threading.Lock())
        self._gathering = Gathering(max_delay)

    @suggesting
    @arguments_of(NewTask.__init__)
    def new(self, tags: Mapping[str, Any] | None = None, **options: Any) -> Task:
        """Enqueue a task and return it, as `Queue.new` does, whose arguments, errors and promises it has.

        What is wrong with one task is raised in its own call alone; StorageUnavailable in all of its group.
        QueueClosed after the end of the buffer.
        """
        task = NewTask({} if tags is None else tags, **options)
        contextvars.Context().run(self._measure)
        call = Call(draft(self._context, task))
        with self._changed:
            group = self._gathering.join(call)
            leads = group.calls[0] is call
            if not leads and self._gathering.complete(group):
                self._changed.notify_all()
        try:
            if not leads:
                call.gate.acquire()
            if not call.over:  # it leads, from the start or in place of one that gave up
                self._lead(group)
        except BaseException:  # a signal, or the deadline of a handler
            self._give_up(group, call)
            raise
        return made(self._context, call.draft, call.other)

    def close(self) -> None:
        """Take no more calls, and wait for those under way."""
        with self._changed:
            self._gathering.closed = True
            self._changed.notify_all()
            while self._gathering.busy:
                self._changed.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        self.close()

    def _lead(self, group: Group) -> None:
        others: Others | None = None
        with self._changed:
            while (wait := self._gathering.patience(group, elapsed())) != 0:
                self._changed.wait(wait)
            self._gathering.begin()
        try:
            others = self._written(group)
        finally:  # whatever interrupts it: the others wait for it
            self._answer(group, others)

    def _written(self, group: Group) -> Others:
        """Write a group, in nobody's context: the leader's session or time limit is not the others'."""
        try:
            op = together(self._context, [call.draft for call in group.calls])
            return contextvars.Context().run(self._send, op)
        except MongoqError as error:
            return {place: _own(error) for place in range(len(group.calls))}

    def _answer(self, group: Group, others: Others | None) -> None:
        with self._changed:
            self._gathering.end(group)
            self._changed.notify_all()
        for place, call in enumerate(group.calls):
            if others is None:
                call.other = StorageUnavailable("the thread that wrote this task was interrupted", ambiguous=True)
            else:
                call.other = others.get(place)
            call.over = True
            call.gate.release()

    def _give_up(self, group: Group, call: Call) -> None:
        with self._changed:
            heir = self._gathering.leave(group, call)
            if heir:
                heir.gate.release()
            self._changed.notify_all()


def _own(error: MongoqError) -> MongoqError:
    """The same error, to be raised in another thread: an exception collects where it has been."""
    own = copy.copy(error)
    own.__cause__ = error.__cause__
    return own
