"""How the inside of a queue object is made of its options."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable
from typing import Any

from mongoq.api.base import Base
from mongoq.core.clock import Clock, ServerClock
from mongoq.core.events import Telemetry
from mongoq.core.host.environment import namespace_named, setting
from mongoq.core.host.keys import KeyMaker
from mongoq.core.options import checked_options
from mongoq.core.serial.sealing import Codec
from mongoq.core.validation import Duration
from mongoq.storage.context import Context
from mongoq.storage.drivers.opening import open_driver
from mongoq.storage.drivers.sealing import Sealer


def opened(
    target: Any,
    *,
    awaited: bool = False,
    blocking: Any = None,
    namespace: str | None,
    max_age: Duration | None,
    workers: int | None,
    grace: Duration,
    max_task_bytes: int,
    claimant: str | None,
    error_queue: bool | Callable[[str], str] | None,
    clock: Clock | None,
    max_size: int | None,
    codec: Codec | None,
    fair_share: float | None,
    aging: Duration | None,
    **policy: Any,
) -> Base:
    """The inside of a new queue object; ConfigurationError lists all that is wrong with its options."""
    options = checked_options(
        namespace=namespace_named() if namespace is None else _stripped(namespace), max_age=max_age, workers=workers,
        grace=grace, max_task_bytes=max_task_bytes, error_queue=error_queue, policy=policy, claimant=claimant,
        max_size=max_size, codec=codec, fair_share=fair_share, aging=aging,
    )  # fmt: skip
    clock = clock or ServerClock()
    telemetry = Telemetry()
    context = Context(clock, options, KeyMaker())
    sealer = None if codec is None else Sealer(codec, (context.tasks, context.schedules))
    driver, open_engine = open_driver(target, clock, telemetry, awaited=awaited, blocking=blocking, sealer=sealer)
    claimant = options.claimant or f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
    base = Base(context, driver, telemetry, claimant, open_engine)
    if sealer is not None:
        base.sealed, sealer.secret = True, base.functions.secret_tags
    return base


def _stripped(namespace: Any) -> Any:
    return setting("namespace", namespace) if isinstance(namespace, str) else namespace
