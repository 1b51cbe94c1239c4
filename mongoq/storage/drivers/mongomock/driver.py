"""The driver over mongomock: the real operations without a server, for tests of an application.

Every command runs under one lock per client; a transaction of mongoq's own keeps that lock to its end, and each write
notes how it is undone. A caller's sessions and transactions are refused, and so are change streams, without which
workers and waits poll. `collections` does what a command asks for.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any, Final

import mongomock

from mongoq.core.clock import Clock, ServerClock
from mongoq.core.errors import ConfigurationError, Fault, StorageRefused, Unsupported
from mongoq.core.events import Telemetry
from mongoq.storage.commands import Command
from mongoq.storage.control import (
    Apart,
    Call,
    Hello,
    Join,
    Leave,
    Loop,
    OpenTransaction,
    Pause,
    Start,
    Tail,
    Wait,
    Watch,
)
from mongoq.storage.drivers.awaited.connection import AsyncConnection
from mongoq.storage.drivers.awaited.driver import AsyncDriver
from mongoq.storage.drivers.blocking import BlockingDriver
from mongoq.storage.drivers.connection import Connection
from mongoq.storage.drivers.mongomock.collections import Memory, Undo
from mongoq.storage.drivers.sealing import Sealer
from mongoq.storage.drivers.steps import Begin, CommitOnce, EndSession, Inner, RollBack, StartSession, Stepper, Steps

OF_TEMPO: Final = (Pause, Wait, Apart, Start, Join, Leave, Call, Loop)
"""The commands that each tempo answers in its own way; all others ask the database."""
NO_STREAM: Final = 40573
ADVICE: Final = "the pytest fixture mongoq_server gives a queue on a real MongoDB"


class Shared:
    """What mongomock lacks of a server, once for all queues on one client."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.indexes: dict[str, dict[str, Any]] = {}
        """By the full name of their collection."""


class Transaction:
    """A transaction of mongoq's own: how to undo what it has written."""

    def __init__(self) -> None:
        self.undo: Undo = []
        self.open = False

    def begin(self) -> None:
        """Begin, with nothing written."""
        self.undo, self.open = [], True

    def end(self, *, undo: bool) -> None:
        """End, and take back what was written where `undo` says so."""
        self.open = False
        while undo and self.undo:
            self.undo.pop()()


class MemoryStepper(Stepper):
    """Makes steps, but of a caller's own transaction."""

    def _answer(self, asked: Command, session: Any) -> Steps[Any]:
        if isinstance(asked, OpenTransaction):
            raise Unsupported(f"mongomock has no transactions for your own writes; {ADVICE}")
        return (yield from super()._answer(asked, session))


class MemoryConnection(Connection):
    """A database of mongomock."""

    where = "mongomock"


class AsyncMemoryConnection(AsyncConnection):
    """The same, for the awaited driver."""

    where = "mongomock"


class MemoryDriver(BlockingDriver):
    """Runs operations on a mongomock client; may be used by many threads."""

    def __init__(
        self, target: Any, clock: Clock, telemetry: Telemetry | None = None, sealer: Sealer | None = None
    ) -> None:
        if not isinstance(target, mongomock.MongoClient | mongomock.Database):
            raise ConfigurationError([Fault("target", repr(target), "a mongomock.MongoClient or its Database")])
        is_client = isinstance(target, mongomock.MongoClient)
        database = target.get_default_database("mongoq") if is_client else target
        super().__init__(MemoryConnection(database), MemoryStepper(clock, telemetry, sealer))
        self._clock = clock
        shared: Shared = vars(database.client._store).setdefault("mongoq", Shared())  # noqa: SLF001 -- what clients share
        self._lock = shared.lock
        self._memory = Memory(database, shared.indexes)

    def joined(self, given: Any) -> None:
        """No session: Unsupported where one is given."""
        if given is not None:
            raise Unsupported(f"mongomock has no sessions; {ADVICE}")

    def _ask(self, asked: Command | Inner, session: Any) -> Any:
        match asked:
            case StartSession():
                return Transaction()
            case Begin(own):
                self._lock.acquire()
                return own.begin()
            case CommitOnce(own) | RollBack(own) if own.open:
                own.end(undo=isinstance(asked, RollBack))
                return self._lock.release()
            case CommitOnce() | RollBack() | EndSession():
                return None
            case Watch() | Tail():
                raise StorageRefused("mongomock has no change streams and no tailable cursors", code=NO_STREAM)
            case Hello():
                now = datetime.now(UTC) if isinstance(self._clock, ServerClock) else self._clock.now()
                return {"localTime": now, "isWritablePrimary": True}
            case _:
                return super()._ask(asked, session)

    def _call(self, command: Any, session: Any) -> Any:
        with self._lock:
            try:
                return self._memory.answer(command, [] if session is None else session.undo)
            except NotImplementedError as error:
                raise Unsupported(f"mongomock cannot do this ({error}); {ADVICE}") from error


class AsyncMemoryDriver(AsyncDriver):
    """Runs the same operations on the caller's event loop; the database's commands answer at once."""

    def __init__(self, memory: MemoryDriver) -> None:
        connection = AsyncMemoryConnection(memory.connection.database, lambda: memory.connection)
        super().__init__(connection, memory.stepper)
        self._memory = memory

    def joined(self, given: Any) -> None:
        """No session: Unsupported where one is given."""
        self._memory.joined(given)

    async def _ask(self, asked: Command | Inner, session: Any) -> Any:
        if isinstance(asked, OF_TEMPO):
            return await super()._ask(asked, session)
        return self._memory._ask(asked, session)  # noqa: SLF001 -- the same driver in the other tempo
