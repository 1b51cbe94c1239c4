"""Bound what a diagnosis reads: each command has a short time limit, and what cannot be read becomes `Unread`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, TypeVar

from mongoq.core.clock import elapsed
from mongoq.core.errors import UNAUTHORIZED, IndexMissing, MongoqError, StorageRefused, StorageUnavailable, Unsupported
from mongoq.diagnosis.facts import Unread
from mongoq.storage.commands import TIME_IS_UP, Op
from mongoq.storage.control import Start

T = TypeVar("T")

LIMIT: Final = timedelta(seconds=3)
"""Of one command. The server gives up then, too."""
TOGETHER: Final = 6.0
"""Seconds after which a read sends no further command, as one that looks at a hundred limits might."""
_WHY: Final = {
    UNAUTHORIZED: "this user lacks the right to {what}",
    59: "the server does not know how to {what}",
    8000: "the provider does not let anybody {what}",
}


def attempt(op: Op[T], what: str) -> Op[T | Unread]:
    """The result of a read, or why there is none; `what` completes "this user lacks the right to"."""
    try:
        return (yield from bounded(op))
    except MongoqError as error:
        return Unread(_reason(error, what))


def bounded(op: Op[T], limit: timedelta = LIMIT) -> Op[T]:
    """Run an operation whose commands take no longer than this each, and twice that together, or StorageUnavailable.

    What would go on beside, for minutes and watched, is not begun.
    """
    reply: Any = None
    error: BaseException | None = None
    until = elapsed() + TOGETHER
    try:
        while True:
            asked: Any = op.send(reply) if error is None else op.throw(error)
            reply = error = None
            if isinstance(asked, Start) or elapsed() > until:
                error = StorageUnavailable("it takes too long", code=TIME_IS_UP)
                continue
            if hasattr(asked, "timeout") and (asked.timeout is None or asked.timeout > limit):
                asked = replace(asked, timeout=limit)
            try:
                reply = yield asked
            except GeneratorExit:
                raise
            except BaseException as raised:  # noqa: BLE001 -- all of them are the operation's to see
                error = raised
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        op.close()


def _reason(error: MongoqError, what: str) -> str:
    if isinstance(error, Unsupported):
        return "this server cannot tell"
    if isinstance(error, IndexMissing):
        return "an index is missing"
    if isinstance(error, StorageRefused) and error.code in _WHY:
        return _WHY[error.code].format(what=what)
    if isinstance(error, StorageUnavailable) and error.code == TIME_IS_UP:
        return f"to {what} takes too long here"
    return str(error)
