"""Skip locked: writes that pass over documents held by another client's open transaction.

A plain update waits for such a transaction, for up to a minute, and every document behind the held one waits too.
That a write took longer than its limit proves nothing about a document: the server may have been busy, or stopped for
a backup. The proof is a write conflict: within a transaction of its own, which is rolled back, a write to a held
document is refused at once. The held keys are found by such transactions, in halves, and skipped. Where there is no
conflict the write is made again with more time; where that fails too, it is the server that does not answer.

Everything about held keys lives here: operations return a `PartialWrite`, and a worker keeps the keys that it met in
a `BlockedKeys`.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from mongoq.core.errors import StorageRefused, StorageUnavailable, Unsupported
from mongoq.storage.commands import WRITE_CONFLICT, Filter, Op, Update, UpdateMany, find, update_many
from mongoq.storage.control import Pause, Transact
from mongoq.storage.documents import fields

WRITE_LIMIT: Final = timedelta(seconds=1)
"""Time limit of a write to up to 1,000 tasks; without a held key it takes 30 ms."""
PROBE: Final = timedelta(seconds=0.25)
"""Time limit of a write that is tried again, and of one that is made in a single step."""
PROBED: Final = 100
PATIENCE: Final = timedelta(seconds=5)
"""Time limit of a write to keys that no transaction holds, after the first limit has passed."""
ONCE: Final = timedelta(milliseconds=1)
"""Time limit of a transaction that is not run again."""
MOST_SKIPPED: Final = 20
"""Held keys found one by one, each at the cost of some transactions; after so many, groups with one are skipped."""
LOOK_TWICE_AFTER: Final = 0.05
"""Seconds after which a conflict must be there again: a plain write of another client makes one, too, for a moment."""
LOOK_AGAIN_EVERY: Final = 1.0
BLOCKED_FOR: Final = 10.0
"""Seconds for which a key that was found held is left alone, at the most."""

_PROBED: Final = "probed"
"""A field that no document ever has: the writes to it are rolled back."""

Guard = Callable[[Sequence[str]], Filter]
Write = Callable[[Sequence[str], timedelta], Op[int]]
"""Writes to those of the keys that pass the guard, within a time limit; returns how many there were."""


class PartialWrite(NamedTuple):
    """What a write reached."""

    updated: int
    """How many documents were written."""
    skipped: list[str]
    """The keys that an open transaction holds."""
    doubtful: bool
    """Whether replies were lost: `updated` may then include tasks that another claimant has changed meanwhile."""
    refusal: StorageRefused | None = None
    """Why the server takes no write to one of `skipped`, where no transaction is the cause; it names the task."""

    def joined(self, other: PartialWrite) -> PartialWrite:
        """Add the result of a write to other keys."""
        return PartialWrite(
            self.updated + other.updated,
            self.skipped + other.skipped,
            self.doubtful or other.doubtful,
            self.refusal or other.refusal,
        )


NOTHING: Final = PartialWrite(0, [], doubtful=False)


class BlockedKeys:
    """Remembers the keys that a transaction held, for `BLOCKED_FOR` seconds, because each try costs a second.

    `again` says when to look whether they are still held, and `only` leaves those that are.

    Its owner passes the seconds of a monotonic clock. Not thread-safe: one service owns one.
    """

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._look_at = 0.0

    def add(self, keys: Iterable[str], now: float) -> None:
        """Remember these keys from `now` on."""
        if new := dict.fromkeys(keys, now + BLOCKED_FOR):
            self._until |= new
            self._look_at = now + LOOK_AGAIN_EVERY

    def keys(self, now: float) -> Collection[str]:
        """The keys to leave alone at `now`."""
        if self._until:
            self._until = {key: until for key, until in self._until.items() if until > now}
        return self._until

    def again(self, now: float) -> list[str]:
        """The keys to look at again at `now`, once a second; more than a few are left alone."""
        if now < self._look_at:
            return []
        self._look_at = now + LOOK_AGAIN_EVERY
        return list(self.keys(now)) if len(self._until) <= MOST_SKIPPED else []

    def free(self, keys: Iterable[str]) -> None:
        """Forget these keys: nobody holds them any more."""
        for key in keys:
            self._until.pop(key, None)


class _Undone(Exception):
    """Raised in a transaction that is to leave no trace."""


def update_skipping_locked(
    collection: str,
    keys: Sequence[str],
    guard: Guard,
    update: Update,
    *,
    undone: Filter | None = None,
    time_limit: timedelta = WRITE_LIMIT,
) -> Op[PartialWrite]:
    """Update those of `keys` that pass `guard(keys)`, and skip those that an open transaction holds."""

    def write(some: Sequence[str], limit: timedelta) -> Op[int]:
        return update_many(collection, guard(some), update, timeout=limit)

    return (yield from write_skipping_locked(collection, keys, guard, write, undone=undone, time_limit=time_limit))


def write_skipping_locked(
    collection: str,
    keys: Sequence[str],
    guard: Guard,
    write: Write,
    *,
    undone: Filter | None = None,
    time_limit: timedelta = WRITE_LIMIT,
    most: int = MOST_SKIPPED,
) -> Op[PartialWrite]:
    """Call `write` for `keys`, and skip those that an open transaction holds.

    A document that was written must no longer pass the guard. If it still does, give `undone`, the filter of
    documents that were not written. `most` limits how many held keys are searched for one by one.
    """
    try:
        return PartialWrite((yield from write(keys, time_limit)), [], doubtful=False)
    except StorageUnavailable as error:
        if not error.ambiguous:
            raise
    left = yield from _untouched(collection, guard(keys), undone)
    groups = deque(left[start : start + PROBED] for start in range(0, len(left), PROBED))
    skipped: list[str] = []
    while groups:
        some = groups.popleft()
        if (yield from conflicting(collection, guard(some))):
            if len(some) == 1 or len(skipped) >= most:
                skipped += some
            else:
                half = len(some) // 2
                groups += [some[:half], some[half:]]
        else:
            yield from write(some, max(PATIENCE, time_limit))
    return PartialWrite(len(keys) - len(skipped), skipped, doubtful=True)


def still_held(collection: str, keys: Sequence[str]) -> Op[list[str]]:
    """Select the keys that an open transaction holds."""
    held: list[str] = []
    for key in keys:
        if (yield from conflicting(collection, {fields.KEY: {"$eq": key}})):
            held.append(key)  # noqa: PERF401 -- no comprehension asks
    return held


def conflicting(collection: str, where: Filter) -> Op[bool]:
    """Whether an open transaction holds one of these documents.

    Raises StorageUnavailable when the server does not answer: then nothing is known about a document.
    """

    def write() -> Op[None]:
        yield UpdateMany(collection, where, {"$set": {_PROBED: secrets.token_hex(4)}}, hint="_id_", timeout=WRITE_LIMIT)
        raise _Undone

    for look in range(2):
        if look:
            yield Pause(LOOK_TWICE_AFTER)
        try:
            yield Transact(write, ONCE)
        except (_Undone, StorageRefused, Unsupported):  # refused for another reason, which the plain write will tell
            return False
        except StorageUnavailable as error:
            if error.code != WRITE_CONFLICT:
                raise
    return True


def _untouched(collection: str, where: Filter, undone: Filter | None) -> Op[list[str]]:
    """Find the keys that were not written, in the order in which the server takes them."""
    order = [(fields.KEY, 1)]
    found = yield from find(collection, {**where, **(undone or {})}, only=[fields.KEY], sort=order, hint="_id_")
    return [document[fields.KEY] for document in found]
