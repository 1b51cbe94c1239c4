"""Checks of the rights of this user."""

from __future__ import annotations

from collections.abc import Iterator

from mongoq.diagnosis.check import Found, check
from mongoq.diagnosis.facts import Rights
from mongoq.diagnosis.finding import Level
from mongoq.diagnosis.words import listed


@check(
    "user.rights", Level.WARNING, "a user that may do a part of what a producer, a worker or an operator does",
    effect="The commands or the processes of this user fail where they meet what is forbidden.",
    advice="Give the user readWrite on the database, or the actions of its role (docs/security.md#rights).",
    command="mongosh ADMIN_URI --eval 'db.grantRolesToUser(\"USER\", [{role: \"readWrite\", db: \"DATABASE\"}])'",
)  # fmt: skip
def rights(rights: Rights) -> Iterator[Found]:
    """What this user lacks; one that may only look is told so in a note."""
    lacking = {role: lacks for role, lacks in rights.lacks.items() if lacks}
    may = [role for role in rights.lacks if role not in lacking]
    if not lacking:
        return
    if not may:
        yield Found(
            rights.user, f"The user {rights.user} may look, and neither enqueue, work nor operate", level=Level.NOTE
        )
        return
    for role, lacks in lacking.items():
        whole = f"The user {rights.user} may be a {' and '.join(may)}; as a {role} it lacks {listed(lacks)}"
        yield Found(rights.user, whole, level=Level.NOTE if role != "worker" and "worker" in may else None)
