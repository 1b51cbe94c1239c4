"""Room in bounded queues, for the producers of one process: they share its grants, and wait here for more."""

from __future__ import annotations

import random
import secrets
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from mongoq.core.clock import elapsed
from mongoq.core.errors import QueueFull
from mongoq.storage.commands import Op
from mongoq.storage.context import Context
from mongoq.storage.control import Pause
from mongoq.storage.documents.drafting import CHUNK, Draft
from mongoq.storage.operations.namespace.depth import GRANT_FOR, Counted, counted, granted

VALID_FOR: Final = GRANT_FOR.total_seconds() - 0.5
SHARE: Final = 16
"""A grant takes a sixteenth of the room: what eight processes hold then and do not use is less than half of it."""
MOST: Final = CHUNK
FIRST_PAUSE: Final = 0.01
LONGEST_PAUSE: Final = 0.25
WHILE_COUNTED: Final = 1.0
"""Seconds for which even one who does not wait lets another process finish its count."""
UNTIL_COUNTED: Final = 0.15
"""Seconds for which even one who does not wait lets a count grow old enough for the next one. What was claimed since
that count made room; the pause between two is 50 ms where a count is quick."""
PATIENCE: Final = {Counted.NOW: 0.0, Counted.LATELY: UNTIL_COUNTED, Counted.ELSEWHERE: WHILE_COUNTED}
A_MOMENT: Final = 0.001


class _Grant:
    """What this process may still enqueue into one queue without asking."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._left = 0
        self._until = 0.0
        self.share = 1

    def take(self, count: int) -> bool:
        """Use some of it; whether there was enough."""
        with self._lock:
            enough = self._left >= count and elapsed() < self._until
            if enough:
                self._left -= count
            return enough

    def add(self, count: int, left: int, asked_at: float) -> None:
        """Note a new grant, after which so much room was left."""
        with self._lock:
            self._left += count
            self._until = asked_at + VALID_FOR
            self.share = max(1, min(MOST, left // SHARE))

    @property
    def held(self) -> int:
        """What is left of it and still counts; what is void is let go."""
        with self._lock:
            if elapsed() >= self._until:
                self._left = 0
            return self._left

    def begin(self) -> bool:
        """Begin to ask for more; False where another thread does."""
        return self._asking.acquire(blocking=False)

    def end(self) -> None:
        """Have asked."""
        self._asking.release()


class Rooms:
    """The bounded queues of one queue object."""

    def __init__(self, context: Context, most: int) -> None:
        self._context = context
        self._most = most
        self._by = secrets.token_hex(4)
        self._grants: dict[str, _Grant] = {}

    def admit(self, queue: str, count: int, wait: float) -> Op[None]:
        """Return where so many tasks may be enqueued now; raise QueueFull where there was no room within `wait`."""
        grant = self._grants.setdefault(queue, _Grant())
        began, pause = elapsed(), FIRST_PAUSE
        while not grant.take(count):
            if not grant.begin():
                yield Pause(A_MOMENT)
                continue
            try:
                state = yield from self._ask(grant, queue, count)
            finally:
                grant.end()
            waited = elapsed() - began
            if state is not None and waited >= max(wait, PATIENCE[state]):
                raise QueueFull(self._told(queue, waited))
            if state is not None:
                yield Pause(random.uniform(pause / 2, pause))  # noqa: S311 -- no secret
                pause = min(LONGEST_PAUSE, pause * 1.5)

    def admit_all(self, drafts: Iterable[Draft], wait: float) -> Op[None]:
        """`admit` each of these."""
        for queue, count in Counter(draft.options.queue for draft in drafts).items():
            yield from self.admit(queue, count, wait)

    def parts(self, chunks: Iterable[list[Draft]]) -> Iterator[list[Draft]]:
        """Cut chunks so small that one of them fits where a tenth of a queue is free."""
        longest = max(1, min(CHUNK, self._most // 10))
        for chunk in chunks:
            yield from (chunk[start : start + longest] for start in range(0, len(chunk), longest))

    def _ask(self, grant: _Grant, queue: str, count: int) -> Op[Counted | None]:
        """Ask for a larger grant, or for what is needed, after a count where that is not to be had; None: it came."""
        for surplus in dict.fromkeys((max(0, grant.share - count), 0)):
            if (yield from self._granted(grant, queue, count, surplus)):
                return None
        state = yield from counted(self._context, queue, self._by, held=grant.held)
        if state is Counted.NOW and (yield from self._granted(grant, queue, count, 0)):
            return None
        return state

    def _granted(self, grant: _Grant, queue: str, count: int, surplus: int) -> Op[bool]:
        asked_at, wanted = elapsed(), count + surplus
        left = yield from granted(
            self._context, queue, self._by, wanted, held=grant.held, kept=surplus, most=self._most
        )
        if left is None:
            return False
        grant.add(wanted, left, asked_at)
        return True

    def _told(self, queue: str, waited: float) -> str:
        for_so_long = f" after {waited:.1f} s" if waited >= WHILE_COUNTED else ""
        return f"the queue {queue!r} has no room{for_so_long}: {self._most:,} tasks may wait in it (max_size)"
