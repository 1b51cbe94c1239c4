"""What docs/failures.md presumes."""

from __future__ import annotations

from mongoq import Fail, Queue


class BadAddress(Exception):
    """An address that no mail reaches."""


class CardRefused(Exception):
    """The bank said no."""


class OrderFailed(Exception):
    """The order came to nothing."""


def is_permanent(error: BaseException) -> bool:
    return "permanent" in str(error)


def charge(order: int) -> None:
    """Work as printed here: the page shows the `except` of a card that is refused."""


order = 7
