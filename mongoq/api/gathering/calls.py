"""Which calls are written together, and when: decisions without locks, waits or writes."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from mongoq.core.errors import MongoqError, QueueClosed
from mongoq.core.tasks.task import Task
from mongoq.storage.documents.drafting import CHUNK, CHUNK_BYTES, Draft

MOST_CALLS: Final = 10_000
MOST_BYTES: Final = 2 * CHUNK_BYTES
"""So much may wait to be written before `submit` waits, or refuses."""


class Call:
    """One task on its way, and the future of its call."""

    __slots__ = ("draft", "future", "stale_at", "waited")

    def __init__(self, one: Draft, future: Any, *, waited: bool, stale_at: float | None = None) -> None:
        self.draft = one
        self.future: Final = future
        self.waited: Final = waited
        """Whether its caller waits for it, and may bring the next task only after that."""
        self.stale_at: Final = stale_at
        """When it was drafted by a clock that had to be measured (`elapsed()`): the writer dates it anew."""

    @property
    def size(self) -> int:
        """The size of its document in bytes."""
        return len(self.draft.body.raw)

    def begin(self) -> bool:
        """Whether it is still wanted; a future of a thread cannot be cancelled from now on."""
        begin = getattr(self.future, "set_running_or_notify_cancel", None)
        return begin() if begin is not None else not self.future.done()

    def answer(self, make: Callable[[Draft, Any], Task], other: Any) -> None:
        """Give it its task, or the error that is there instead; its caller may have gone, and its event loop too."""
        with suppress(RuntimeError):
            if self.future.done():
                return
            try:
                task = make(self.draft, other)
            except Exception as error:  # noqa: BLE001 -- whatever it is, it is this call's
                self.future.set_exception(error)
            else:
                self.future.set_result(task)

    @property
    def unique(self) -> bool:
        """Whether its task has a `unique` value."""
        return self.draft.options.unique is not None


class Gathering:
    """Which calls are written together, and when: decisions only, for whoever holds the lock."""

    def __init__(self, max_delay: float, most: int = CHUNK) -> None:
        self._max_delay: Final = max_delay
        self._most: Final = most
        self._calls: deque[Call] = deque()
        self._size = 0
        self._waited = 0
        self._expected = 0
        self._since: float | None = None
        """Since when nothing but the wish for company keeps the next group back."""
        self.writing = False
        self.closed = False

    @property
    def busy(self) -> bool:
        """Whether anything is gathered or being written."""
        return self.writing or bool(self._calls)

    @property
    def full(self) -> bool:
        """Whether so much waits that no more should be added."""
        return len(self._calls) >= MOST_CALLS or self._size >= MOST_BYTES

    @property
    def complete(self) -> bool:
        """Whether the next group needs no more company: it is full, or as many callers wait as did last time."""
        enough = self._waited >= self._expected or len(self._calls) >= self._most or self._size >= CHUNK_BYTES
        return enough or self.closed

    @property
    def due(self) -> bool:
        """Whether the writer has to look: its first call has come, or its last."""
        return len(self._calls) == 1 or self.complete

    def check_open(self) -> None:
        """QueueClosed where no more calls are taken."""
        if self.closed:
            raise QueueClosed("this buffer was closed")

    def add(self, call: Call) -> None:
        """Let a call wait for the next group."""
        self.check_open()
        self._calls.append(call)
        self._size += call.size
        self._waited += call.waited

    def begin_alone(self) -> bool:
        """Whether a call may be written by itself, since nothing is under way and no company to be expected."""
        self.check_open()
        if self.busy or (self._max_delay and self._expected > 1):
            return False
        self.writing = True
        return True

    def take(self, now: float) -> list[Call] | float | None:
        """The calls to be written now; or the seconds until then; None where there are none, or another is written."""
        if self.writing or not self._calls:
            return None
        if self._since is None:
            self._since = now
        left = self._since + self._max_delay - now
        if not self.complete and left > 0:
            return left
        self.writing, self._since = True, None
        return self._next()

    def end(self, waited: int) -> None:
        """A group with so many waiting callers was written; as many are expected in the next."""
        self.writing, self._expected = False, waited

    def drop(self) -> list[Call]:
        """Take out all calls: nobody is going to write them."""
        dropped, self._calls = list(self._calls), deque()
        self._size = self._waited = 0
        self._since = None
        return dropped

    def _next(self) -> list[Call]:
        group: list[Call] = []
        size = 0
        while self._calls and len(group) < self._most:
            size += self._calls[0].size
            if group and size > CHUNK_BYTES:
                break
            call = self._calls.popleft()
            self._size -= call.size
            self._waited -= call.waited
            group.append(call)
        return group


def own(error: MongoqError, call: Call) -> MongoqError:
    """An error of a whole group, to be raised in one call: an exception collects where it has been."""
    own = copy.copy(error)
    own.__cause__ = error.__cause__
    if getattr(error, "ambiguous", False):
        own.add_note(f"key of the task that may exist: {call.draft.key}")
    return own
