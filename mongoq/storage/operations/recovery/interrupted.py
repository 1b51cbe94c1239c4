"""Claims that nobody will hear of: the caller was interrupted, by a cancelled coroutine, a time limit or a signal.

The server may have made the claim. Without a word its tasks would wait for the end of their leases, 30 s by default.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from mongoq.core.errors import MongoqError
from mongoq.core.judging.verdict import Released
from mongoq.core.requests import ClaimRequest
from mongoq.storage.commands import Op
from mongoq.storage.context import Context
from mongoq.storage.control import Pause, Start
from mongoq.storage.operations.claiming.claim import new_token
from mongoq.storage.operations.finish import settle
from mongoq.storage.operations.namespace.orders import read_if_old
from mongoq.storage.operations.recovery.lost_replies import recover

LOOKS: Final = (0.0, 0.05, 0.5)
"""Seconds before each look for what the claim took: the server may get to it after the first (1 of 30 cancelled)."""

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class Claiming(Protocol[T_co]):
    """An operation that claims under a token."""

    def __call__(self, context: Context, wanted: ClaimRequest, *, token: str | None = None) -> Op[T_co]:
        """Claim what is wanted."""
        ...


def given_back(context: Context, wanted: ClaimRequest, claim: Claiming[T]) -> Op[T]:
    """The result of `claim`; where it is interrupted, what it took is released in the background.

    What operators have paused is not claimed: that is read again where it was not for a while.
    """
    yield from read_if_old(context)
    token = new_token()
    try:
        return (yield from claim(context, wanted, token=token))
    except (Exception, GeneratorExit):
        raise
    except BaseException:
        yield Start(_give_back(context, token, wanted.claimant))
        raise


def ended_anyway(end: Callable[[], Op[None]]) -> Op[None]:
    """Write an ending; where that is interrupted, write it in the background: by its token it takes effect once."""
    try:
        yield from end()
    except (Exception, GeneratorExit):
        raise
    except BaseException:
        yield Start(_quietly(end()))
        raise


def _quietly(op: Op[None]) -> Op[None]:
    with contextlib.suppress(MongoqError):
        yield from op


def _give_back(context: Context, token: str, claimant: str) -> Op[None]:
    with contextlib.suppress(MongoqError):  # the leases run out then
        for pause in LOOKS:
            yield Pause(pause)
            held = yield from recover(context, [token])
            if held:
                yield from settle(context, [one.read() for one in held], Released(), claimant)
                return
