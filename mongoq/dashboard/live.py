"""One reader for all open tabs: it reads the fleet while somebody watches, and hands what has changed to each tab.

It takes at most a hundredth of the time for reading, as long as 30 s are enough for that, and never more than a
twentieth, so that a namespace whose figures are slow to read is asked less often. A tab that is hidden closes its
connection; the last one that leaves ends the reader.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from mongoq import MongoqError
from mongoq.core.clock import elapsed
from mongoq.dashboard.service.answers import EVERY, pause
from mongoq.dashboard.service.gateway import Gateway
from mongoq.dashboard.service.snapshot import Snapshot, read

TREND: Final = 720
"""Samples that are kept: an hour of them at the usual pace."""
logger = logging.getLogger("mongoq.dashboard")


class Sample(NamedTuple):
    """The figures of all queues at one moment."""

    at: datetime
    ready: int
    running: int
    failed: int


class Live:
    """The newest snapshot, and who waits for the next one."""

    def __init__(self, gateway: Gateway, every: float = EVERY) -> None:
        self._gateway = gateway
        self._every = every
        self._snapshot: Snapshot | None = None
        self._read_at = float("-inf")
        self._reading: asyncio.Lock | None = None
        self._watchers: set[asyncio.Queue[Snapshot | None]] = set()
        self._task: asyncio.Task[None] | None = None
        self.trend: deque[Sample] = deque(maxlen=TREND)
        """What was read since somebody watches, the oldest first."""
        self.reads = 0
        """How often it has read so far."""

    @property
    def watchers(self) -> int:
        """How many tabs watch."""
        return len(self._watchers)

    @property
    def time(self) -> datetime:
        """The server's time, as far as it is known."""
        return datetime.now(UTC) - timedelta(seconds=0 if self._snapshot is None else self._snapshot.skew)

    @property
    def queues(self) -> list[str]:
        """Names of queues to choose from, as far as they are known: no page of tasks waits until all are counted."""
        return [] if self._snapshot is None else sorted(self._snapshot.stats)[:500]

    async def snapshot(self, fresh: float | None = None) -> Snapshot:
        """What the fleet looks like: as it was read a moment ago, or as it is now."""
        self._reading = self._reading or asyncio.Lock()
        fresh = self._every if fresh is None else fresh
        async with self._reading:  # pages that come together read once
            if self._snapshot is None or elapsed() - self._read_at > pause(fresh, self._snapshot.took):
                self._snapshot = await read(self._gateway)
                self.reads += 1
                sums = self._snapshot.sums
                self.trend.append(Sample(self._snapshot.at, sums.ready, sums.running, sums.failed))
                self._read_at = elapsed()
            return self._snapshot

    def forget(self) -> None:
        """Let the next page read anew: something was changed."""
        self._read_at = float("-inf")

    async def watch(self) -> AsyncIterator[Snapshot | None]:
        """Each snapshot as it is read; None where the database does not answer."""
        mailbox: asyncio.Queue[Snapshot | None] = asyncio.Queue(maxsize=1)
        self._watchers.add(mailbox)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._read_on())
        try:
            while True:
                yield await mailbox.get()
        finally:
            self._watchers.discard(mailbox)
            if not self._watchers and self._task is not None:
                self._task.cancel()

    async def _read_on(self) -> None:
        while True:
            found: Snapshot | None = None
            try:
                found = await self.snapshot(fresh=self._every / 2)
            except MongoqError as error:
                logger.warning("the dashboard cannot read: %s", error)
            for mailbox in self._watchers:
                if mailbox.full():  # a slow tab gets the newest
                    mailbox.get_nowait()
                mailbox.put_nowait(found)
            await asyncio.sleep(pause(self._every, 0 if found is None else found.took))
