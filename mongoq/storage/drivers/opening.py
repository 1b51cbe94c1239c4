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
from mongoq.storage.drivers.steps import Stepper

Opened = tuple[Any, Callable[[], BlockingDriver]]


def open_driver(
    target: Any, clock: Clock, telemetry: Telemetry, *, awaited: bool, blocking: Any, sealer: Sealer | None = None
) -> Opened:
    """The driver of a target, and what opens the blocking driver of the worker's threads.

    The libraries of Motor and mongomock are imported only where a client of theirs is handed in.
    """
    kinds = {kind.__module__.partition(".")[0] for kind in type(target).__mro__}
    if "mongomock" in kinds:
        from mongoq.storage.drivers.mongomock.driver import AsyncMemoryDriver, MemoryDriver  # noqa: PLC0415 -- see above

        memory = MemoryDriver(target, clock, telemetry, sealer)
        return (AsyncMemoryDriver(memory) if awaited else memory), lambda: memory
    stepper = Stepper(clock, telemetry, sealer)
    if not awaited:
        driver = BlockingDriver(connect(target), stepper)
        return driver, lambda: driver
    connection: Any
    kind: type[AsyncDriver]
    if "motor" in kinds:
        from mongoq.storage.drivers.awaited.motor import MotorDriver, connect_motor  # noqa: PLC0415 -- see above

        connection, kind = connect_motor(target, blocking), MotorDriver
    else:
        connection, kind = connect_async(target, blocking), AsyncDriver
    return kind(connection, stepper), lambda: BlockingDriver(connection.make_blocking(), stepper)
