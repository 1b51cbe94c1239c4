"""The writer of the calls that are gathered, and the two ways to hand it one: `submit` and `together`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from mongoq.api.gathering.calls import Call, Gathering, own
from mongoq.api.gathering.telling import tell_many
from mongoq.api.gathering.turn import Turn, wake
from mongoq.core.clock import elapsed
from mongoq.core.errors import MongoqError, QueueFull, StorageUnavailable
from mongoq.core.host.waiter import Waiter
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import Op
from mongoq.storage.control import Join, Measure, Pause, Wait
from mongoq.storage.documents.drafting import CHUNK, Drafter, Maker, Others, draft
from mongoq.storage.operations.enqueue import together
from mongoq.storage.operations.schema import keeping_unique

if TYPE_CHECKING:
    from mongoq.api.base import Base

log = logging.getLogger("mongoq.api")

AWAITED_CHUNK: Final = 250
"""The largest group on an event loop, which the answers of 1,000 calls would keep busy for 5 ms."""
LINGER: Final = 0.1
"""Seconds for which the writer's thread waits for more work; to start another costs 0.1 ms."""
TURNS: Final = 3
"""Rounds of the event loop that the writer waits, so that the callers it has just answered can join the next group."""


class Gatherer:
    """The calls of one queue object, or of one buffer: a lock, the writer, and who waits for either."""

    def __init__(self, base: Base, max_delay: float = 0.0) -> None:
        self.base = base
        self.driver = base.driver
        self._draft = Drafter(base.context)
        self._lock = threading.Lock()
        self._gathering = Gathering(max_delay, AWAITED_CHUNK if base.driver.AWAITED else CHUNK)
        self._turns = TURNS if base.driver.AWAITED and not max_delay else 0
        self._writer: object | None = None
        """Stands for the writer that runs, or is about to."""
        self._news = Waiter()
        """What the writer waits for."""
        self._watching: list[Waiter] = []
        """Those who wait for room, or for the end."""

    @property
    def busy(self) -> bool:
        """Whether anything is gathered or being written."""
        return self._gathering.busy

    def submit(self, task: NewTask) -> Any:
        """Add a call and return its future, of the queue's tempo."""
        if self._gathering.full:
            if self.driver.AWAITED:
                raise QueueFull("the submitted tasks that wait to be written are too many: await some of them first")
            self.driver.run(self._until(lambda: not self._gathering.full))
        return self._add(task, waited=False).future

    def together(self, task: NewTask, alone: Callable[[], Op[Task]]) -> Op[Task]:
        """Enqueue a task by the operation `alone` where nothing is under way, else together with others."""
        self.base.check_accepting()
        with self._lock:
            by_itself = self._gathering.begin_alone()
        if by_itself:
            try:
                return (yield from alone())
            finally:
                self._end(1)
        yield Measure()
        call = self._add(task, waited=True)
        try:
            created: Task = yield Join(call.future)
        except BaseException:
            call.future.cancel()  # it is left out where it has not gone yet
            raise
        return created

    def close(self) -> Op[None]:
        """Take no more calls, and wait for those under way."""
        with self._lock:
            self._gathering.closed = True
        self._news.notify()
        yield from self._until(lambda: not self._gathering.busy)

    def _add(self, task: NewTask, *, waited: bool) -> Call:
        self.base.check_accepting()
        stale_at = elapsed() if self.base.context.clock.wants_measuring() else None
        promise = self.driver.promise() if self.driver.AWAITED or not waited else Turn(self._lock)
        call = Call(self._draft(task), promise, waited=waited, stale_at=stale_at)
        with self._lock:
            self._gathering.add(call)
            begin, wake = self._begins(), self._gathering.due
        if begin:
            self._begin()
        elif wake and not self._news.notified:
            self._news.notify()
        return call

    def _begins(self) -> bool:
        """Whether the writer is to be started, which is then noted; under the lock."""
        begins = self._writer is None and not self._gathering.writing and self._gathering.busy
        if begins:
            self._writer = object()
        return begins

    def _begin(self) -> None:
        work, writer = self._write(), self._writer
        try:
            self.driver.beside(work, lambda: self._ended(writer))
        except RuntimeError as error:  # no thread can be started, or the loop has ended
            work.close()
            self._give_up(StorageUnavailable(f"the task was not sent: {error}"))

    def _end(self, waited: int) -> None:
        """Note that a write has ended, and let the writer go on."""
        with self._lock:
            self._gathering.end(waited)
            begin = self._begins()
            self._tell()
        if begin:
            self._begin()
        else:
            self._news.notify()

    def _write(self) -> Op[None]:
        """Write one group after the other, until there is nothing more to write."""
        while True:
            self._news.rearm()
            with self._lock:
                group = self._gathering.take(elapsed())
                if group is None and self.driver.AWAITED:
                    self._writer = None
                    return
            if isinstance(group, list):
                waited = sum(call.waited for call in group)
                try:
                    yield from self._written(group, waited)
                finally:
                    self._end(waited)
            elif not (yield Wait(self._news, LINGER if group is None else group)) and group is None:
                with self._lock:
                    if self._gathering.writing or not self._gathering.busy:
                        self._writer = None
                        return

    def _ended(self, writer: object) -> None:
        """Answer what a writer was to write that was interrupted, or cancelled before it began."""
        with self._lock:
            left = self._writer is writer
        if left:
            self._give_up(StorageUnavailable("who was to write this task was interrupted before"))

    def _written(self, group: Sequence[Call], waited: int) -> Op[None]:
        wanted = [call for call in group if call.begin()]
        interrupted = StorageUnavailable("who wrote this task was interrupted", ambiguous=True)
        others: Others = {place: own(interrupted, call) for place, call in enumerate(wanted)}
        try:
            yield Measure()
            others = yield from self._enqueued(wanted)
        except MongoqError as error:
            others = self._failed(error, wanted)
        finally:  # whatever interrupts it: the callers wait for it
            self._answer(wanted, others)
        for _ in range(self._turns if waited else 0):
            yield Pause(0)

    def _enqueued(self, group: Sequence[Call]) -> Op[Others]:
        """Enqueue a group; what came of those that were not enqueued, by place."""
        context = self.base.context
        others: dict[int, Any] = {}
        for place, call in enumerate(group):
            try:
                if self.base.rooms is not None and not call.waited:  # the others have asked before
                    yield from self.base.rooms.admit(call.draft.options.queue, 1, 0)
                if call.stale_at is None:
                    continue
                ago = elapsed() - call.stale_at
                call.draft = draft(context, call.draft.options, key=call.draft.key, ago=ago)
            except MongoqError as error:
                others[place] = error
        for unique in (False, True):  # apart: a task without a `unique` value does not need the index of those
            places = [place for place, call in enumerate(group) if call.unique is unique and place not in others]
            came = (yield from self._some([group[place] for place in places], unique=unique)) if places else {}
            others |= {places[place]: other for place, other in came.items()}
        return others

    def _some(self, calls: Sequence[Call], *, unique: bool) -> Op[Others]:
        op = together(self.base.context, [call.draft for call in calls])
        try:
            return (yield from self.base.send(keeping_unique(self.base.context, op) if unique else op))
        except MongoqError as error:
            return self._failed(error, calls)

    def _failed(self, error: MongoqError, calls: Sequence[Call]) -> Others:
        """What came of calls whose command failed; some have futures that perhaps nobody looks at."""
        submitted = sum(not call.waited for call in calls)
        if submitted:
            log.warning("%d submitted tasks were not enqueued: %s", submitted, error)
        if self._gathering.closed and isinstance(error, StorageUnavailable):
            self._give_up(error)  # the end of a queue waits for one failure, not for that of each group
        return {place: own(error, call) for place, call in enumerate(calls)}

    def _answer(self, calls: Sequence[Call], others: Others) -> None:
        make = Maker(self.base.context)
        for place, call in enumerate(calls):
            call.answer(make, others.get(place))
        wake([call.future for call in calls if type(call.future) is Turn], self._lock)
        sent = [call.draft for place, call in enumerate(calls) if not call.waited and place not in others]
        tell_many(self.base, sent, {})

    def _give_up(self, error: StorageUnavailable) -> None:
        """Answer those that nobody is going to write."""
        with self._lock:
            self._writer = None
            dropped = self._gathering.drop()
            self._tell()
        dropped = [call for call in dropped if call.begin()]
        self._answer(dropped, {place: own(error, call) for place, call in enumerate(dropped)})

    def _until(self, true: Callable[[], bool]) -> Op[None]:
        """Return once this is true; it is looked at whenever a group has gone."""
        while True:
            with self._lock:
                if true():
                    return
                waiter = Waiter()
                self._watching.append(waiter)
            yield Wait(waiter)

    def _tell(self) -> None:
        watching, self._watching = self._watching, []
        for waiter in watching:
            waiter.notify()
