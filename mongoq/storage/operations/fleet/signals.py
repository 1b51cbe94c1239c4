"""Signals to all processes of a namespace: written once to a small capped collection, read by tailable cursors.

Such a cursor costs the server nothing at writes of other collections (a bulk insert: 7 µs per document with none and
with 64 of them, 66 with 16 change streams), and the server itself leaves out what is not for the place of its reader. A
signal is a hint, never more: what it tells of also stands in the database, where it is found by whoever looks.

None is missed while a cursor is opened: it begins `OVERLAP` before that instant, and its reader looks for itself once
the cursor stands. A cursor ends when its collection is dropped or has rolled over it; then the same begins again.
"""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from mongoq.core.errors import UNAUTHORIZED, StorageError, StorageRefused
from mongoq.core.fleet import Signal, SignalKind
from mongoq.storage.commands import Document, InsertOne, Op
from mongoq.storage.context import Context
from mongoq.storage.control import CreateCapped, DescribeCollection, Next, Tail, Unwatch

SIZE: Final = 256 * 1024
"""Bytes: about 1,500 signals. A cursor is opened by a scan of them, 1 ms."""
AWAIT: Final = 30.0
"""Seconds that one read waits on the server: all that a process sends for its signals."""
LATE: Final = 10.0
"""Seconds beyond `AWAIT` after which the socket is given up, whatever the client's own timeout (3 s by default): with
2 s, 64 processes on an overloaded host took late replies for a lost server."""
OVERLAP: Final = timedelta(seconds=10)
"""More than the clocks of two processes differ."""
NO_TAIL: Final = frozenset({UNAUTHORIZED, 40573})
"""Error codes where there can be no capped collection: a right is missing, or it is mongomock."""
_NOT_CAPPED: Final = 2
_EXISTS: Final = 48


def make(context: Context) -> Op[None]:
    """Make the collection, and write a first document: a cursor on an empty one ends at once.

    An ordinary one, which the server makes for a signal that is written after a drop, is made a capped one.
    """
    try:
        yield CreateCapped(context.signals, SIZE)
    except StorageRefused as error:
        if error.code != _EXISTS:
            raise
        described: Document = (yield DescribeCollection(context.signals)) or {}
        if not described.get("options", {}).get("capped"):
            yield CreateCapped(context.signals, SIZE, convert=True)
    yield from send(context, Signal(SignalKind.WATCH, low=-1, high=-1))


def send(context: Context, signal: Signal) -> Op[None]:
    """Write a signal."""
    document: Document = {
        "at": context.clock.now(),
        "kind": signal.kind.value,
        "low": signal.low,
        "high": signal.high,
        "queues": list(signal.queues),
        "count": signal.count,
    }
    yield InsertOne(context.signals, document)


def hint(context: Context, kind: SignalKind) -> Op[None]:
    """Let all processes know of something that also stands in the database, where they look for it more rarely.

    It never fails: what it tells of has been written.
    """
    with suppress(StorageError):
        yield from send(context, Signal(kind))


def open_tail(context: Context, place: int) -> Op[Any]:
    """A cursor on the signals for this place; the first `next_signal` opens it."""
    mine = {"low": {"$lte": place}, "high": {"$gte": place}, "at": {"$gte": context.clock.earliest() - OVERLAP}}
    # The jitter keeps processes that began together from waiting in step.
    return (yield Tail(context.signals, mine, AWAIT * random.uniform(0.9, 1.0)))  # noqa: S311 -- no secret


def next_signal(cursor: Any) -> Op[Signal | str | None]:
    """Wait for the next signal; None: none yet, or one of a later version; `Next.ENDED`: the cursor is dead."""
    try:
        found = yield Next(cursor, timedelta(seconds=AWAIT + LATE))
    except StorageRefused as error:
        if error.code != _NOT_CAPPED:
            raise
        return Next.ENDED
    return _read(found) if isinstance(found, dict) else found


def close_tail(cursor: Any) -> Op[None]:
    """Close a cursor."""
    yield Unwatch(cursor)


def _read(document: Document) -> Signal | None:
    try:
        kind = SignalKind(document["kind"])
        queues = tuple(str(queue) for queue in document["queues"])
        return Signal(kind, int(document["low"]), int(document["high"]), queues, int(document["count"]))
    except (KeyError, TypeError, ValueError):
        return None
