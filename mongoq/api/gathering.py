"""Which calls of a buffer are written together, and when: decisions without locks, waits or writes."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from mongoq.core.errors import QueueClosed
from mongoq.core.host.waiter import Waiter
from mongoq.storage.operations.enqueue import CHUNK, CHUNK_BYTES, Draft


class Call:
    """One call of `new` that waits for its group."""

    __slots__ = ("draft", "other", "over", "waiter")

    def __init__(self, draft: Draft) -> None:
        self.draft: Final = draft
        self.waiter: Final = Waiter()
        """Notified by its leader, or where it is to lead in place of one that gave up."""
        self.over = False
        self.other: Any = None


class Group:
    """Calls that are written together."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.size = 0
        self.first_at: float | None = None
        """Since when nothing but the wish for company keeps it back."""


class Gathering:
    """Who is in which group, and when a group goes: decisions only, for whoever holds the lock."""

    def __init__(self, max_delay: float) -> None:
        self._max_delay: Final = max_delay
        self._groups: deque[Group] = deque()
        self._writing = False
        self._expected = 1
        self.closed = False

    @property
    def busy(self) -> bool:
        """Whether anything is gathering or being written."""
        return self._writing or bool(self._groups)

    def join(self, call: Call) -> Group:
        """The group of this call. It leads where it is the first there."""
        if self.closed:
            raise QueueClosed("this buffer was closed")
        size = len(call.draft.body.raw)
        last = self._groups[-1] if self._groups else None
        if last is None or len(last.calls) == CHUNK or last.size + size > CHUNK_BYTES:
            last = Group()
            self._groups.append(last)
        last.calls.append(call)
        last.size += size
        return last

    def complete(self, group: Group) -> bool:
        """Whether a group has waited for company long enough, however short that was."""
        return self.closed or len(group.calls) >= self._expected or self._groups[-1] is not group

    def patience(self, group: Group, now: float) -> float | None:
        """Seconds that a group should wait yet, 0 where it should go; None: until another has been written."""
        if self._writing or self._groups[0] is not group:
            return None
        if group.first_at is None:
            group.first_at = now
        return 0 if self.complete(group) else max(0.0, group.first_at + self._max_delay - now)

    def begin(self) -> None:
        """The first group is being written."""
        self._groups.popleft()
        self._writing = True

    def end(self, group: Group) -> None:
        """It was written; as many are expected next time."""
        self._writing = False
        self._expected = len(group.calls)

    def leave(self, group: Group, call: Call) -> Call | None:
        """Take out a call that gives up, if its group has not gone yet; returns who has to lead in its place."""
        if group not in self._groups:
            return None
        led = group.calls[0] is call
        group.calls.remove(call)
        if not group.calls:
            self._groups.remove(group)
        return group.calls[0] if led and group.calls else None
