"""What a transaction of the application's needs before it begins."""

from __future__ import annotations

from typing import Any

from mongoq import AsyncQueue, Queue
from mongoq.storage.commands import Op

__all__ = ["make_ready"]


def make_ready(queue: Queue | AsyncQueue) -> Any:
    """Make the collections and indexes that calls of task functions need; of an AsyncQueue, what does when awaited.

    MongoDB refuses a collection that is newer than the transaction which writes to it. The first call looks, later ones
    send nothing.
    """
    base = queue._base  # noqa: SLF001 -- no verb of a user's
    base.use_names()
    return base.driver.run(base.write(_nothing()))


def _nothing() -> Op[None]:
    yield from ()
