"""The drivers that the tests of storage run on, from one body, and what one of them cannot run, with its reason."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Final, NamedTuple

import mongomock
from motor.motor_asyncio import AsyncIOMotorClient

from mongoq.core.clock import FrozenClock, ServerClock
from mongoq.core.events import Telemetry
from mongoq.storage.drivers.awaited.connection import connect_async
from mongoq.storage.drivers.awaited.driver import AsyncDriver
from mongoq.storage.drivers.awaited.motor import MotorDriver, connect_motor
from mongoq.storage.drivers.blocking import BlockingDriver
from mongoq.storage.drivers.connection import SETTINGS, connect
from mongoq.storage.drivers.mongomock.driver import AsyncMemoryDriver, MemoryDriver
from mongoq.storage.drivers.steps import Stepper

BLOCKING: Final = "blocking"
ASYNCIO: Final = "asyncio"
MOTOR: Final = "motor"
MONGOMOCK: Final = "mongomock"
MONGOMOCK_AWAITED: Final = "mongomock-asyncio"
DRIVERS: Final = (BLOCKING, ASYNCIO, MOTOR, MONGOMOCK, MONGOMOCK_AWAITED)
AWAITED: Final = (ASYNCIO, MOTOR)
MEMORY: Final = (MONGOMOCK, MONGOMOCK_AWAITED)

CANNOT_RUN: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "test_claim_plan::*": (AWAITED + MEMORY, "it asks the server for its plan, which is the same for all drivers"),
    "test_many_queues::test_a_look_*": (AWAITED + MEMORY, "as above"),
    "test_claims_by_name::test_ready_tasks_*": (AWAITED + MEMORY, "as above"),
    "test_claims_by_name::test_a_namespace_*": (MEMORY, "it heeds no hints"),
    "test_enqueueing::*_found_by_the_index": (MEMORY, "there are no plans"),
    "test_flow::*any_command*": ((*AWAITED, MONGOMOCK), "it kills the operation, which is the same for all drivers"),
    "test_limits::*": ((*AWAITED, MONGOMOCK), "as above"),
    "test_limits::*killed*": ((BLOCKING,), "in memory it takes a tenth of the time"),
    "test_limits::test_a_line_*": ((BLOCKING,), "as above"),
    "test_rates::*": ((*AWAITED, BLOCKING, MONGOMOCK), "as above"),
    "test_chains::*": ((*AWAITED, BLOCKING, MONGOMOCK), "as above"),
    "test_driver::*": (MEMORY, "there are no time limits"),
    "test_marks::test_every_read_asks_the_primary": (AWAITED + MEMORY, "it looks at the handles, not at a driver"),
    "test_concurrent_changes::test_two_changes_*": (AWAITED + MEMORY, "its sessions are those of a blocking client"),
    "test_modifying::*_is_news_there": (AWAITED + MEMORY, "change streams are read by the blocking driver"),
    "test_heartbeats::*_are_read_once": (MEMORY, "it has no $$NOW: whoever runs on it reads no heartbeats"),
    "test_signals::*": (AWAITED + MEMORY, "signals are read by the blocking driver"),
    "test_administering::test_a_task_that_moves_meanwhile_*": (MEMORY, "it writes within a transaction's own lock"),
    "test_claiming::*_exactly_one_of_many_claimants": (
        MEMORY,
        "2,000 tasks take 10 s; tests/testing has a smaller one",
    ),
    "test_claiming::*_behind_more_than_one_sweep_*": (MEMORY, "it looks at each of 1,000 tasks 1,000 times: 20 s"),
    "test_upkeep::*_than_a_batch_*": (MEMORY, "as above"),
    "test_upkeep::test_a_batch_of_a_vanished_worker_*": (MEMORY, "as above"),
    "test_bulk_acts::*_than_a_thousand_tasks": (MEMORY, "as above"),
    "test_skip_locked::*": (MEMORY, "nobody else has a transaction"),
    "test_renewals::*transaction*": (MEMORY, "nobody else has a transaction"),
    "test_ticking::*_race_*": (AWAITED + MEMORY, "its threads block; the commands are the same"),
    "test_unreadable::test_every_document_*": (MEMORY, "it stores decoded values"),
    "test_unreadable::test_a_key_*": (MEMORY, "it finds no key that it cannot compare"),
    "test_foreign_documents::test_a_document_that_*": (MEMORY, "its worker uses the server"),
    "test_foreign_documents::test_a_mapping_in_place_of_a_key_*": (MEMORY, "its queue uses the server"),
}
"""By a pattern of `file::test`: the drivers that cannot run it, and why."""


class Opened(NamedTuple):
    """A driver as a test uses it, whatever its tempo."""

    run: Callable[..., Any]
    """Runs an operation to its end."""
    connection: Any
    """The connection of a blocking client to the same database, to look at what is stored."""
    close: Callable[[], object]


def drivers_of(name: str) -> list[str]:
    """The drivers that can run the test of this name."""
    refused = {driver for pattern, (some, _) in CANNOT_RUN.items() if fnmatchcase(name, pattern) for driver in some}
    return [driver for driver in DRIVERS if driver not in refused]


class EventLoop:
    """An event loop in a thread of its own, for the awaited drivers."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="test-loop", daemon=True)
        self._thread.start()

    def await_(self, coroutine: Any) -> Any:
        """The coroutine's result, waited for by this thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def run_on(self, driver: AsyncDriver, blocking: BlockingDriver, op: Any) -> Any:
        """Run an operation on an awaited driver; what a test runs within another one, on the blocking driver."""
        if threading.current_thread() is self._thread:
            return blocking.run(op)
        return self.await_(driver.run(op))

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


def open_driver(name: str, uri: Callable[[], str], loop: EventLoop, clock: FrozenClock, telemetry: Telemetry) -> Opened:
    """Open a driver; `uri` starts a server, where one is needed."""
    if name in MEMORY:
        memory = MemoryDriver(mongomock.MongoClient(tz_aware=True), clock, telemetry)
        awaited = AsyncMemoryDriver(memory)
        run = memory.run if name == MONGOMOCK else partial(loop.run_on, awaited, memory)
        return Opened(run, memory.connection, lambda: None)
    connection = connect(uri())
    blocking = BlockingDriver(connection, Stepper(ServerClock(), telemetry))
    if name == BLOCKING:
        return Opened(blocking.run, connection, connection.close)

    async def opened() -> tuple[Any, AsyncDriver]:
        if name == MOTOR:
            client: Any = AsyncIOMotorClient(uri(), tz_aware=True, **SETTINGS)
            own = connect_motor(client[connection.database.name])
            return client, MotorDriver(own, Stepper(ServerClock(), telemetry))
        made = connect_async(uri())
        return made.owned, AsyncDriver(made, Stepper(ServerClock(), telemetry))

    client, driver = loop.await_(opened())

    async def close() -> None:
        closed = client.close()
        if closed is not None:
            await closed

    def end() -> None:
        loop.await_(close())
        connection.close()

    return Opened(partial(loop.run_on, driver, blocking), connection, end)
