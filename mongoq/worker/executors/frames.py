"""Where a handler stands, and whether an exception may be raised in it there."""

from __future__ import annotations

import contextlib
import inspect
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Final

UNSAFE: Final = frozenset(
    {
        "asyncio", "bson", "concurrent", "contextlib", "importlib", "_frozen_importlib", "logging", "mongoq",
        "multiprocessing", "pymongo", "queue", "selectors", "socket", "ssl", "subprocess", "threading", "weakref",
    }
)  # fmt: skip
"""Modules whose code holds locks: an exception that strikes it there may leave one held for ever."""
CALLERS: Final = ("mongoq.worker.executors.", "mongoq.worker.handlers.")
"""What calls a handler; its frames are below those of the handler."""


WAITING: Final = frozenset({"threading", "queue", "concurrent"})
"""Modules that let an exception out of their waits, with the locks as they should be."""


def _waits() -> Iterator[int]:
    """The lines of `Condition.wait` in which it waits: whatever is waited for in Python mostly ends there."""
    with contextlib.suppress(OSError, TypeError):
        lines, first = inspect.getsourcelines(threading.Condition.wait)
        yield from (first + number for number, line in enumerate(lines) if "waiter.acquire(" in line)


WAITS: Final = frozenset(_waits())


def may_strike(frame: FrameType | None) -> bool:
    """Whether all code between the handler and this frame is that of the handler, or of libraries without locks.

    A wait for a condition, an event or a queue is left cleanly: an exception comes out of it as out of any call.
    """
    waits = frame is not None and frame.f_code is threading.Condition.wait.__code__ and frame.f_lineno in WAITS
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if not isinstance(name, str):
            return False
        if name.startswith(CALLERS):
            return True
        root = name.partition(".")[0]
        if root in UNSAFE and not (waits and root in WAITING):
            return False
        frame = frame.f_back
    return True


def frame_of(thread: int) -> FrameType | None:
    """The frame in which a thread runs just now."""
    return sys._current_frames().get(thread)  # noqa: SLF001 -- documented, despite its name


def place(frame: FrameType | None) -> str:
    """A frame in words."""
    if frame is None:
        return "somewhere"
    return f"{frame.f_code.co_filename}, line {frame.f_lineno}, in {frame.f_code.co_name}"
