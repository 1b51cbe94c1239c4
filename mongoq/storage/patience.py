"""Updates that do not wait for somebody else's open transaction.

A plain write waits for a transaction that has written to one of its documents, up to a minute, and all that
come after it wait as well. The server takes the keys of an update in their order (tried on mongod 6.0.5), so after
a time limit the first one that is still untouched is the one that is held: it is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from mongoq.errors import StorageUnavailable
from mongoq.storage import documents
from mongoq.storage.commands import Filter, Op, Update, find, update_many

WRITE_LIMIT: Final = timedelta(seconds=1)
"""How long an update of up to 1,000 tasks may take; ordinary ones take 30 ms."""
PROBE: Final = timedelta(seconds=0.25)
"""How long one of `PROBED` may take once something is known to be in the way; more than a far server's round trip."""
PROBED: Final = 100
MOST_PASSED: Final = 20
"""So many are passed over in one go; what lies behind them waits for the next."""


class Around(NamedTuple):
    """What an update reached."""

    updated: int
    passed: list[str]
    """The keys that were passed over."""
    doubtful: bool
    """Whether replies were missing: `updated` may count what went to others meanwhile."""


def update_around(
    collection: str,
    keys: Sequence[str],
    guard: Callable[[Sequence[str]], Filter],
    update: Update,
    *,
    undone: Filter | None = None,
    patience: timedelta = WRITE_LIMIT,
) -> Op[Around]:
    """Update those of `keys` for which `guard(keys)` holds, and pass over those that a transaction holds.

    `undone` tells apart what the update has not reached, where the guard alone still holds afterwards.
    """
    try:
        return Around((yield from update_many(collection, guard(keys), update, limit=patience)), [], doubtful=False)
    except StorageUnavailable as error:
        if not error.ambiguous:
            raise
    left = yield from _untouched(collection, guard(keys), undone)
    passed: list[str] = []
    while left and len(passed) < MOST_PASSED:
        some, left = left[:PROBED], left[PROBED:]
        try:
            yield from update_many(collection, guard(some), update, limit=PROBE)
        except StorageUnavailable as error:
            if not error.ambiguous:
                raise
            still = yield from _untouched(collection, guard(some), undone)
            passed += still[:1]
            left = still[1:] + left
    passed += left
    return Around(len(keys) - len(passed), passed, doubtful=True)


def _untouched(collection: str, where: Filter, undone: Filter | None) -> Op[list[str]]:
    order = [(documents.KEY, 1)]
    found = yield from find(collection, {**where, **(undone or {})}, only=[documents.KEY], sort=order, hint="_id_")
    return [document[documents.KEY] for document in found]
