"""Skip locked: writes that pass over documents held by another client's open transaction.

A plain update waits for such a transaction, for up to a minute, and every document behind the held one waits too.
The server takes the keys of an update in order (tried on mongod 6.0.5). So after a time limit the first key that is
still untouched is the held one. It is skipped, and the rest is tried in halves: a run of held keys does not hide
those behind it.

Everything about held keys lives here: operations return a `PartialWrite`, and a worker keeps the keys that it met in
a `BlockedKeys`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from mongoq.core.errors import StorageRefused, StorageUnavailable
from mongoq.storage.commands import Filter, Op, Update, find, update_many
from mongoq.storage.documents import fields

WRITE_LIMIT: Final = timedelta(seconds=1)
"""Time limit of a write to up to 1,000 tasks; without a held key it takes 30 ms."""
PROBE: Final = timedelta(seconds=0.25)
"""Time limit of a write to `PROBED` keys once a held one is suspected: more than the round trip to a far server."""
PROBED: Final = 100
MOST_SKIPPED: Final = 20
"""Held keys found one by one, each at the cost of a probe; after so many, all keys that are left are skipped."""
BLOCKED_FOR: Final = 10.0
"""Seconds for which a key that was found held is left alone."""

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
    """Remembers the keys that a transaction held, for `BLOCKED_FOR` seconds, because each try costs a probe.

    Its owner passes the seconds of a monotonic clock. Not thread-safe: one service owns one.
    """

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def add(self, keys: Iterable[str], now: float) -> None:
        """Remember these keys from `now` on."""
        self._until |= dict.fromkeys(keys, now + BLOCKED_FOR)

    def keys(self, now: float) -> Collection[str]:
        """The keys to leave alone at `now`."""
        if self._until:
            self._until = {key: until for key, until in self._until.items() if until > now}
        return self._until


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
    while groups and len(skipped) < most:
        some = groups.popleft()
        try:
            yield from write(some, PROBE)
        except StorageUnavailable as error:
            if not error.ambiguous:
                raise
            still = yield from _untouched(collection, guard(some), undone)
            skipped += still[:1]
            half = 1 + len(still) // 2
            groups += [part for part in (still[1:half], still[half:]) if part]
    skipped += [key for group in groups for key in group]
    return PartialWrite(len(keys) - len(skipped), skipped, doubtful=True)


def _untouched(collection: str, where: Filter, undone: Filter | None) -> Op[list[str]]:
    """Find the keys that were not written, in the order in which the server takes them."""
    order = [(fields.KEY, 1)]
    found = yield from find(collection, {**where, **(undone or {})}, only=[fields.KEY], sort=order, hint="_id_")
    return [document[fields.KEY] for document in found]
