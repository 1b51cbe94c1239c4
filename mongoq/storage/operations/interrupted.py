"""Claims that nobody will hear of: the caller was interrupted, by a cancelled coroutine, a time limit or a signal.

The server may have made the claim. Without a word its tasks would wait for the end of their leases, 30 s by default.
"""

from __future__ import annotations

import contextlib
from typing import Protocol, TypeVar

from mongoq.core.errors import MongoqError
from mongoq.core.requests import ClaimRequest
from mongoq.core.verdict import Released
from mongoq.storage.commands import Op, Start
from mongoq.storage.context import Context
from mongoq.storage.operations.claims import new_token
from mongoq.storage.operations.finish import settle
from mongoq.storage.operations.lost_replies import recover

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class Claiming(Protocol[T_co]):
    """An operation that claims under a token."""

    def __call__(self, context: Context, wanted: ClaimRequest, *, token: str | None = None) -> Op[T_co]:
        """Claim what is wanted."""
        ...


def given_back(context: Context, wanted: ClaimRequest, claim: Claiming[T]) -> Op[T]:
    """The result of `claim`; where it is interrupted, what it took is released in the background."""
    token = new_token()
    try:
        return (yield from claim(context, wanted, token=token))
    except (Exception, GeneratorExit):
        raise
    except BaseException:
        yield Start(_give_back(context, token, wanted.claimant))
        raise


def _give_back(context: Context, token: str, claimant: str) -> Op[None]:
    with contextlib.suppress(MongoqError):  # the leases run out then
        held = yield from recover(context, [token])
        if held:
            yield from settle(context, [one.read() for one in held], Released(), claimant)
