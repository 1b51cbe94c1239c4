"""What brings documents as they come: change streams, and cursors that stay at the end of a capped collection."""

from __future__ import annotations

from typing import Any

from pymongo import CursorType

from mongoq.storage.control import Tail, Watch
from mongoq.storage.drivers.handles import Handles


class Tailing:
    """A tailable cursor with the methods of a change stream."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    @property
    def alive(self) -> bool:
        """Whether anything can come yet: a cursor dies with its collection, and where that has rolled over it."""
        return bool(self._cursor.alive)

    def try_next(self) -> Any:
        """Wait for the next document; None where none came in time."""
        return next(self._cursor, None)

    def close(self) -> None:
        """Close the cursor."""
        self._cursor.close()


def open_stream(handles: Handles, asked: Watch | Tail) -> Any:
    """What a command asks for, with `try_next`, `alive` and `close`; nobody reads a time in what comes."""
    pause = int(asked.await_seconds * 1_000)
    if isinstance(asked, Watch):
        # With decoders of types the driver decodes each event twice.
        stream = handles.of(asked.collection, majority=True, naive=True)
        return stream.watch(list(asked.pipeline), max_await_time_ms=pause)
    cursor = handles.of(asked.collection, naive=True).find(asked.where, cursor_type=CursorType.TAILABLE_AWAIT)
    return Tailing(cursor.max_await_time_ms(pause))
