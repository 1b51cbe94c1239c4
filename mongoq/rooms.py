"""The rooms that a plain producer does not enter: each is imported when the facade first uses it.

`rooms.claims` is `mongoq.storage.operations.claims`, imported by the first who claims. What `new` needs is imported
by name, so that the import of mongoq brings it all and the first `new` nothing more.

With every room the import took 32 ms beyond the driver's own, without these 20 (80 and 46 where no bytecode is kept;
CPU time on Python 3.11, the best of nine alternating rounds).
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mongoq.api import buffer, streaming
    from mongoq.core import modification, requests, verdict
    from mongoq.storage.operations import bulk, claims, enlist, finish, heartbeat, leases, queries, requeue
    from mongoq.storage.operations.modify import apply
    from mongoq.worker import config, handle, starting, task_transaction
    from mongoq.worker.manual import by_hand, keepalive

__all__ = [
    "apply",
    "buffer",
    "bulk",
    "by_hand",
    "claims",
    "config",
    "enlist",
    "finish",
    "handle",
    "heartbeat",
    "keepalive",
    "leases",
    "modification",
    "queries",
    "requests",
    "requeue",
    "starting",
    "streaming",
    "task_transaction",
    "verdict",
]

HOUSES: Final = (
    "mongoq.core", "mongoq.api", "mongoq.storage.operations", "mongoq.storage.operations.modify", "mongoq.worker",
    "mongoq.worker.manual",
)  # fmt: skip
"""Where they lie."""

if not TYPE_CHECKING:  # or a misspelt room would pass for a module without types

    def __getattr__(name: str) -> ModuleType:
        """Import a room that is entered for the first time; from then on it is an attribute like any other."""
        if name in __all__:
            for house in HOUSES:
                if find_spec(f"{house}.{name}"):
                    room = globals()[name] = import_module(f"{house}.{name}")
                    return room
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
