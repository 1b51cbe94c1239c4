"""Writes that do not wait for somebody else's open transaction.

A plain write waits for a transaction that has written to one of its documents, up to a minute, and all that
come after it wait as well. The server takes the keys of a write in their order (tried on mongod 6.0.5), so after
a time limit the first one that is still untouched is the one that is held: it is passed over, and the others are
tried in halves, so that many that are held in a row do not hide those behind them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from mongoq.core.errors import StorageUnavailable
from mongoq.storage.commands import Filter, Op, Update, find, update_many
from mongoq.storage.documents import fields

WRITE_LIMIT: Final = timedelta(seconds=1)
"""How long a write to up to 1,000 tasks may take; ordinary ones take 30 ms."""
PROBE: Final = timedelta(seconds=0.25)
"""How long one of `PROBED` may take once something is known to be in the way; more than a far server's round trip."""
PROBED: Final = 100
MOST_PASSED: Final = 20
"""After so many the rest is passed over as well; each has cost a probe."""

Guard = Callable[[Sequence[str]], Filter]
Write = Callable[[Sequence[str], timedelta], Op[int]]
"""Writes to those of some keys for which the guard holds, within a time limit; how many there were."""


class PartialWrite(NamedTuple):
    """What a write reached."""

    updated: int
    passed: list[str]
    """The keys that were passed over."""
    doubtful: bool
    """Whether replies were missing: `updated` may count what went to others meanwhile."""

    def joined(self, other: PartialWrite) -> PartialWrite:
        """This and another, of other keys, as one."""
        return PartialWrite(self.updated + other.updated, self.passed + other.passed, self.doubtful or other.doubtful)


NOTHING: Final = PartialWrite(0, [], doubtful=False)


def update_around(
    collection: str,
    keys: Sequence[str],
    guard: Guard,
    update: Update,
    *,
    undone: Filter | None = None,
    patience: timedelta = WRITE_LIMIT,
) -> Op[PartialWrite]:
    """Update those of `keys` for which `guard(keys)` holds, and pass over those that a transaction holds."""

    def write(some: Sequence[str], limit: timedelta) -> Op[int]:
        return update_many(collection, guard(some), update, timeout=limit)

    return (yield from write_around(collection, keys, guard, write, undone=undone, patience=patience))


def write_around(
    collection: str,
    keys: Sequence[str],
    guard: Guard,
    write: Write,
    *,
    undone: Filter | None = None,
    patience: timedelta = WRITE_LIMIT,
    most: int = MOST_PASSED,
) -> Op[PartialWrite]:
    """The same with any write after which `guard` does not hold any more.

    Where it still does, `undone` tells apart what was not reached. `most` is how many to find out, one by one.
    """
    try:
        return PartialWrite((yield from write(keys, patience)), [], doubtful=False)
    except StorageUnavailable as error:
        if not error.ambiguous:
            raise
    left = yield from _untouched(collection, guard(keys), undone)
    groups = deque(left[start : start + PROBED] for start in range(0, len(left), PROBED))
    passed: list[str] = []
    while groups and len(passed) < most:
        some = groups.popleft()
        try:
            yield from write(some, PROBE)
        except StorageUnavailable as error:
            if not error.ambiguous:
                raise
            still = yield from _untouched(collection, guard(some), undone)
            passed += still[:1]
            half = 1 + len(still) // 2
            groups += [part for part in (still[1:half], still[half:]) if part]
    passed += [key for group in groups for key in group]
    return PartialWrite(len(keys) - len(passed), passed, doubtful=True)


def _untouched(collection: str, where: Filter, undone: Filter | None) -> Op[list[str]]:
    order = [(fields.KEY, 1)]
    found = yield from find(collection, {**where, **(undone or {})}, only=[fields.KEY], sort=order, hint="_id_")
    return [document[fields.KEY] for document in found]
