"""Which driver answers for what a user named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mongoq.core.clock import Clock
from mongoq.core.events import Telemetry
from mongoq.storage.drivers.awaited.connection import connect_async
from mongoq.storage.drivers.awaited.driver import AsyncDriver
from mongoq.storage.drivers.blocking import BlockingDriver
from mongoq.storage.drivers.connection import connect
from mongoq.storage.drivers.sealing import Sealer

Opened = tuple[Any, Callable[[], BlockingDriver]]


def open_driver(
    target: Any, clock: Clock, telemetry: Telemetry, *, awaited: bool, blocking: Any, sealer: Sealer | None = None
) -> Opened:
    """The driver of a target, and what opens the blocking driver of the worker's threads; both use the sealer."""
    driver, open_engine = _opened(target, clock, telemetry, awaited=awaited, blocking=blocking)

    def sealing(opened: Any) -> Any:
        opened._stepper.sealer = sealer  # noqa: SLF001 -- no driver is open yet
        return opened

    return sealing(driver), lambda: sealing(open_engine())


def _opened(target: Any, clock: Clock, telemetry: Telemetry, *, awaited: bool, blocking: Any) -> Opened:
    """The drivers, without a sealer.

    The libraries of Motor and mongomock are imported only where a client of theirs is handed in.
    """
    kinds = {kind.__module__.partition(".")[0] for kind in type(target).__mro__}
    if "mongomock" in kinds:
        from mongoq.storage.drivers.mongomock.driver import AsyncMemoryDriver, MemoryDriver  # noqa: PLC0415 -- see above

        memory = MemoryDriver(target, clock, telemetry)
        return (AsyncMemoryDriver(memory, clock, telemetry) if awaited else memory), lambda: memory
    if not awaited:
        driver = BlockingDriver(connect(target), clock, telemetry)
        return driver, lambda: driver
    if "motor" in kinds:
        from mongoq.storage.drivers.awaited.motor import MotorDriver, connect_motor  # noqa: PLC0415 -- see above

        connection = connect_motor(target, blocking)
        return MotorDriver(connection, clock, telemetry), lambda: _engine(connection, clock, telemetry)
    connection = connect_async(target, blocking)
    return AsyncDriver(connection, clock, telemetry), lambda: _engine(connection, clock, telemetry)


def _engine(connection: Any, clock: Clock, telemetry: Telemetry) -> BlockingDriver:
    return BlockingDriver(connection.make_blocking(), clock, telemetry)
