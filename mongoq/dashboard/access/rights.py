"""Rights, and the roles that bundle them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mongoq.core.errors import ConfigurationError, MongoqError


class Right(StrEnum):
    """What somebody may do."""

    LOOK = "look"
    """See tasks, queues, workers and schedules."""
    ARGUMENTS = "arguments"
    """See tags, payloads, results and logs of tasks."""
    RETRY = "retry"
    """Run finished tasks again, and send dead letters home."""
    RUN_NOW = "run_now"
    """Make scheduled tasks due."""
    CANCEL = "cancel"
    EDIT = "edit"
    """Change priority, time and tags of waiting tasks, and enqueue copies of tasks."""
    MOVE = "move"
    """Put waiting tasks into another queue."""
    DELETE = "delete"
    BULK = "bulk"
    """Act on many tasks at once, where the act itself is allowed."""
    PAUSE = "pause"
    """Pause and resume queues, names and everything."""
    WORKERS = "workers"
    """Stop workers."""
    SCHEDULES = "schedules"
    """Pause, resume, change and delete schedules."""
    LIMITS = "limits"
    """Change and lift limits."""
    AUDIT = "audit"
    """See who did what."""


VIEWER: Final = frozenset({Right.LOOK, Right.ARGUMENTS})
OPERATOR: Final = VIEWER | {
    Right.RETRY, Right.RUN_NOW, Right.CANCEL, Right.MOVE, Right.BULK, Right.PAUSE, Right.AUDIT,
}  # fmt: skip
ROLES: Final = {"viewer": VIEWER, "operator": OPERATOR, "admin": frozenset(Right)}
"""The rights of each role."""


class Forbidden(MongoqError, PermissionError):
    """Somebody asked for what they may not do."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who looks, and what they may do."""

    name: str
    rights: frozenset[Right]

    def may(self, *rights: Right) -> bool:
        """Whether they have all of these rights."""
        return self.rights.issuperset(rights)

    def check(self, *rights: Right) -> None:
        """Forbidden where they lack one of these rights."""
        lacking = [right for right in rights if right not in self.rights]
        if lacking:
            raise Forbidden(f"{self.name} may not do this: the right {lacking[0].value!r} is lacking")


def user(name: str, role: str | Iterable[Right | str]) -> User:
    """Somebody with a role, or with single rights; ConfigurationError where there is no such role or right."""
    if isinstance(role, str):
        if role not in ROLES:
            raise ConfigurationError(f"role: {role!r} is none of {', '.join(ROLES)}")
        return User(name, ROLES[role])
    known = {right.value for right in Right}
    unknown = [one for one in role if str(one) not in known]
    if unknown:
        raise ConfigurationError(f"right: {unknown[0]!r} is none of {', '.join(sorted(known))}")
    return User(name, frozenset(Right(one) for one in role))
