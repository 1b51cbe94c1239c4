"""What verbs work with: the inside of a queue object, the same in both tempos."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mongoq.api.gathering.gatherer import Gatherer
from mongoq.api.gathering.room import Rooms
from mongoq.core.clock import elapsed
from mongoq.core.errors import IndexMissing, QueueClosed
from mongoq.core.events import Telemetry
from mongoq.core.tasks.new_task import NewTask
from mongoq.functions.registry import Registry
from mongoq.hooks.attached import Hooks
from mongoq.storage.commands import Op
from mongoq.storage.context import Context
from mongoq.storage.control import Call, Measure, Within
from mongoq.storage.drivers.blocking import BlockingDriver
from mongoq.storage.operations import schema
from mongoq.storage.operations.namespace import format_version, orders

if TYPE_CHECKING:
    from mongoq.worker.handle import WorkerHandle
    from mongoq.worker.manual.by_hand import ByHand
    from mongoq.worker.manual.keepalive import Claimed

T = TypeVar("T")

LOOK_AGAIN: Final = 5.0
"""Seconds after which a queue whose collection lacks an index looks again."""


class Base:
    """The inside of a queue object. Its methods are operations, but for those that say otherwise."""

    def __init__(
        self,
        context: Context,
        driver: Any,
        telemetry: Telemetry,
        claimant: str,
        open_engine: Callable[[], BlockingDriver],
    ) -> None:
        self.context = context
        most = context.options.max_size
        self.rooms = None if most is None else Rooms(context, most)
        self.driver = driver
        """Runs operations in the queue's own tempo."""
        self.telemetry = telemetry
        self.claimant = claimant
        self.closed = False
        self.shutting_down = False
        """Whether it takes no new tasks any more."""
        self.closing: Any = None  # of an awaited queue: what closes it, as a future
        self.handles: list[WorkerHandle] = []
        self.functions = Registry()
        """The task functions of this queue."""
        self.sealed = False  # whether secrets are encrypted
        self.gatherer = Gatherer(self)
        self.hooks = Hooks(telemetry)
        self.named = False
        """Whether tasks with names are known to be here: claims by name have an index of their own."""
        self.flow = False  # as `named`
        self._open_engine = open_engine
        self._engine: BlockingDriver | None = None
        self._hand: ByHand | None = None
        self._making = threading.Lock()
        self._ready = False
        self._was_ready = False
        self._look_again_at = 0.0
        self._missing: IndexMissing | None = None

    # Operations

    def read(self, op: Op[T], session: Any = None) -> Op[T]:
        """Run an operation by a clock that was measured."""
        self.check_open()
        yield Measure()
        if session is None:
            return (yield from op)
        result: T = yield Within(session, lambda: op)
        return result

    def write(self, op: Op[T], session: Any = None) -> Op[T]:
        """Run an operation after making sure that the indexes are there: once, and again if they go missing.

        An index that cannot be made fails only what needs it: the server refuses its hint then.
        """
        if not self._ready and elapsed() >= self._look_again_at:
            yield from self._prepare()
        try:
            if session is not None:
                return (yield from self.read(op, session))
            self.check_open()
            yield Measure()
            return (yield from op)  # as `read` does, whose generator costs a task as much as a call through a verb
        except IndexMissing as error:
            if self._ready:
                self._ready, self._look_again_at = False, 0.0
                raise
            raise self._missing or error from error.__cause__

    def _prepare(self) -> Op[None]:
        if self._was_ready:  # one thread makes what went missing, while the others renew and end their tasks
            self._look_again_at = elapsed() + LOOK_AGAIN
        try:
            yield from self.read(format_version.check(self.context))
            if self.flow:
                yield from self.read(orders.use_flow(self.context))
            yield from self.read(schema.ensure(self.context, named=self.named, flow=self.flow))
            self._ready = self._was_ready = True
            self._missing = None
        except IndexMissing as error:
            self._missing, self._look_again_at = error, elapsed() + LOOK_AGAIN

    def send(self, op: Op[T], session: Any = None) -> Op[T]:
        """Make new work, and wake this object's own workers and who waits for a claim."""
        sent = yield from self.write(op, session)
        self.call()
        return sent

    def hand(self) -> Op[ByHand]:
        """What those who claim and wait by hand share; it is made when it is first needed."""
        if self._hand is None:
            yield Call(self._make_hand)
        assert self._hand is not None
        return self._hand

    # Not operations

    def call(self) -> None:
        """Let this object's workers, and who waits for a claim, look for work."""
        if self._hand is not None:
            self._hand.call()
        for handle in self.handles:
            handle.wake()

    def check_open(self) -> None:
        """QueueClosed where the queue was closed."""
        if self.closed:
            raise QueueClosed("this queue was closed")

    def check_accepting(self) -> None:
        """QueueClosed where no new tasks are taken: the queue shuts down, or was closed."""
        self.check_open()
        if self.shutting_down:
            raise QueueClosed("this queue is shutting down: it takes no new tasks")

    def joined(self, session: Any) -> Any:
        """The session whose transaction a call takes part in: the one given, a bound one, or None."""
        return self.driver.joined(session)

    def engine(self) -> BlockingDriver:
        """The blocking driver of the worker's threads; may block where it is first opened."""
        with self._making:
            if self._engine is None:
                self.check_open()  # what is opened from now on nobody would close
                self._engine = self._open_engine()
        return self._engine

    def run(self, op: Op[T]) -> T:
        """Run an operation on the engine's driver, as threads of the queue do."""
        return self.engine().run(self.write(op))

    def ending(self, tasks: Sequence[Claimed]) -> AbstractContextManager[None]:
        """While the ending of these tasks is written: to keepalives their loss is no news then."""
        return self._hand.ending(tasks) if self._hand else nullcontext()

    def use_names(self) -> None:
        """Note that tasks have names: the index for claims by name is made before the next write."""
        if not self.named:
            self.functions.check_secrets(sealed=self.sealed)
            self.named, self._ready, self._look_again_at = True, False, 0.0

    def use(self, task: NewTask) -> None:
        """Note which indexes this task needs."""
        if task.name is not None:
            self.use_names()
        if task.flows and not self.flow:
            self.flow, self._ready, self._look_again_at = True, False, 0.0

    def note(self, handle: WorkerHandle) -> None:
        """Note a worker that has started."""
        self.handles = [known for known in self.handles if not known.stopped] + [handle]

    def stop(self) -> None:
        """Stop this object's workers; blocks until they have stopped."""
        for handle in self.handles[1:]:
            handle.stop_soon()  # all together, so that none goes on while another has its grace
        for handle in self.handles:
            handle.stop()

    def shut(self) -> None:
        """Let nobody wait any more."""
        self.closed = True
        self.functions.release()
        if self._hand is not None:
            self._hand.close()

    def close_engine(self) -> None:
        """Close the engine's driver, where it is one of its own."""
        with self._making:
            if self._engine is not None and self._engine is not self.driver:
                self._engine.connection.close()

    def _make_hand(self) -> None:
        from mongoq.worker.manual.by_hand import ByHand  # noqa: PLC0415 -- a producer is spared the worker

        engine = self.engine()
        with self._making:
            if self._hand is None:
                self._hand = ByHand(self.context, engine.run, self.run, self.claimant, telemetry=self.telemetry)
