"""The error of an atomic change that was refused, and the tasks because of which it was."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from mongoq.core.errors import MongoqError

__all__ = ["Conflict", "DependencyError", "Role"]


class Role(StrEnum):
    """What an atomic change, or a claim, does with a task."""

    INSERT = "insert"
    CHANGE = "change"
    DELETE = "delete"
    DEPEND = "depend"
    CLAIM = "claim"


class Conflict(NamedTuple):
    """One task because of which an atomic change was refused."""

    key: str
    """Its key."""
    role: Role
    """What the change was to do with it."""
    why: str
    """What was found."""

    def __str__(self) -> str:
        return f"{self.role} {self.key!r}: {self.why}"


class DependencyError(MongoqError):
    """An atomic change was refused because of the tasks listed here, and nothing was written.

    `missing` were deleted, have another version by now, or have finished; `claimed` are held by another claimant;
    `collisions` are new tasks whose key or `unique` value is taken. Each is a list of `Conflict`.

    Read the tasks again and make a new change: the same change is refused again.
    """

    def __init__(
        self,
        missing: Sequence[Conflict] = (),
        claimed: Sequence[Conflict] = (),
        collisions: Sequence[Conflict] = (),
    ) -> None:
        self.missing = tuple(missing)
        self.claimed = tuple(claimed)
        self.collisions = tuple(collisions)
        found = [*self.missing, *self.claimed, *self.collisions]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        super().__init__(f"the change was refused: {found[0] if found else 'nothing was named'}{more}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.missing, self.claimed, self.collisions)

    @property
    def has_missing(self) -> bool:
        """Whether a task was missing."""
        return bool(self.missing)

    @property
    def has_claims(self) -> bool:
        """Whether another claimant held a task."""
        return bool(self.claimed)

    @property
    def has_collisions(self) -> bool:
        """Whether a key or `unique` value was taken."""
        return bool(self.collisions)
