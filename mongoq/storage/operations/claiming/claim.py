"""What a claim got, and the token that it holds its tasks under."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import NamedTuple

from mongoq.core.errors import StorageRefused
from mongoq.core.tasks.task import Task
from mongoq.storage.documents.unread import Unread


class Claim(NamedTuple):
    """What a claim got."""

    unread: list[Unread]
    """The tasks now held, the most urgent first."""
    more: bool
    """Whether as many were found as asked for, so that more may be ready."""
    lost: int
    """How many of the tasks found went to another claimant, of another name."""
    found: int = 0
    """How many tasks were found."""
    doubtful: bool = False
    """Whether replies were lost, so that more tasks may be held than are listed."""
    skipped: bool = False
    """Whether the claim left out the tasks at the head, as `skip` asked."""
    blocked: Sequence[str] = ()
    """The keys of the tasks that an open transaction holds, or that take no write."""
    parked: int = 0
    """How many were found that a limit has no room for."""
    refusal: StorageRefused | None = None
    """Why the server takes no write to one of these."""
    left: int = 0
    """How many tasks under limits were left alone, because this process has slots enough."""

    @property
    def tasks(self) -> list[Task]:
        """Decode the tasks of `unread`."""
        return [claimed.read() for claimed in self.unread]


def new_token() -> str:
    """Make the token of one claim: random, because after a failover rolled a claim back a counter would repeat."""
    return secrets.token_hex(16)
