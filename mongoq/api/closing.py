"""The end of an awaited queue, which is reached whatever becomes of the coroutine that asks for it."""

from __future__ import annotations

import asyncio

from mongoq.api.base import Base
from mongoq.storage.drivers.awaited.awaiting import called


async def close(base: Base) -> None:
    """Close an awaited queue, once; who asks again waits for the same."""
    if base.closing is None:
        base.closing = asyncio.ensure_future(_close(base))
    await asyncio.shield(base.closing)


async def _close(base: Base) -> None:
    await called(base.shut)
    await base.driver.connection.close()
    await called(base.close_engine)
