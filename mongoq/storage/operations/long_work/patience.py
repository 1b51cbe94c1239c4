"""Work that may take longer than a lost connection should go unnoticed: start it, then watch it by short calls.

A reply that is long in coming looks like one that never comes: when the network drops packets without a word, nothing
closes the connection. So a long read runs beside, under a mark, and once a second a call on another connection asks the
server whether it still works on that. A server that is gone shows within a dozen seconds, as a plain read tells, and a
connection that is dead a few looks after the end of its work.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from mongoq.core.errors import StorageRefused, StorageUnavailable, Unsupported
from mongoq.storage.commands import Aggregate, Command, Count, Document, Find, Op
from mongoq.storage.control import CurrentOps, Join, Leave, Start

Read = Find | Count | Aggregate
How = dict[str, Any]
"""The time limit and the mark of commands."""

FIRST_LIMIT: Final = timedelta(seconds=3)
"""Time limit of the first try, which most reads need a few milliseconds of."""
LONG_LIMIT: Final = timedelta(minutes=10)
"""Time limit of a read that is watched."""
LOOK_EVERY: Final = 1.0
LOOK_LIMIT: Final = timedelta(seconds=3)
LOST_LOOKS: Final = 3
"""After so many looks in a row that find nothing on the server, the work counts as lost.

One may fall between two batches of a cursor.
"""
MOST_AWAY: Final = 2
"""So many looks in a row may find no primary, beside a read that waits for one itself: 12 s with the last one."""
MOST_TRIES: Final = 3


def asked(command: Command) -> Op[Any]:
    """The reply to one command."""
    return (yield command)


def patiently(read: Read | Callable[[How], Op[Any]]) -> Op[Any]:
    """The result of a read that may take minutes: a command, or an operation whose commands take these options.

    Raises StorageUnavailable within seconds where the server is gone; asks again where only the connection is.
    """
    make = read if callable(read) else lambda how: asked(replace(read, **how))
    try:
        return (yield from make({"timeout": FIRST_LIMIT}))
    except StorageUnavailable:
        pass
    for _ in range(MOST_TRIES):
        comment = secrets.token_hex(12)
        handle = yield Start(make({"timeout": LONG_LIMIT, "comment": comment}))
        result = yield from _watched(handle, comment)
        if result is not Join.PENDING:
            return result
    raise StorageUnavailable("the replies to a long read were lost again and again", ambiguous=True)


def _watched(handle: Any, comment: str) -> Op[Any]:
    """The result of what was started; PENDING where the server does not work on it and no reply came."""
    missed = away = 0
    try:
        while (result := (yield Join(handle, LOOK_EVERY))) is Join.PENDING:
            try:
                found = yield from operations(_marked(comment), everybody=False)
            except StorageUnavailable:
                away += 1
                if away > MOST_AWAY:
                    raise
                continue
            away, missed = 0, missed + 1 if found == [] else 0
            if missed == LOST_LOOKS:
                yield Leave(handle)
                break
    except GeneratorExit:
        raise
    except BaseException:
        yield Leave(handle)
        raise
    return result


def _marked(comment: str) -> Document:
    return {"$or": [{"command.comment": comment}, {"cursor.originatingCommand.comment": comment}]}


def operations(where: Document, *, everybody: bool) -> Op[list[Document] | None]:
    """What the server works on; None where it does not tell that to this user."""
    try:
        found: list[Document] = yield CurrentOps(where, everybody, LOOK_LIMIT)
    except (StorageRefused, Unsupported):
        return None
    return found
