"""What docs/functions.md presumes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from mongoq import NewTask, Queue, Tasks


@dataclass
class Receipt:
    """What a call returns."""

    user: int
    template: str


first = queue = Queue(namespace="functions")


def check() -> None:
    receipt = globals()["receipt"]
    assert (receipt.user, receipt.template) == (42, "gold")
