"""The verbs of the audit: an act begins, counts and ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mongoq.api.base import Base
from mongoq.api.verb import verb
from mongoq.auditing.entry import AuditEntry
from mongoq.core.validation import Checker
from mongoq.storage.commands import Op
from mongoq.storage.operations.looking import audit

LONGEST: Final = 500


@verb
def audit_begin(base: Base, act: str, *, by: str, about: Mapping[str, Any] | None = None) -> Op[AuditEntry]:
    """Write down that somebody begins an act, before it is done, and return the entry.

    It is kept for 400 days. Close it by `audit_end`, whatever has become of the act.

    Args:
        act: what is done, such as `retry`.
        by: who does it.
        about: what it is done to: names of its fields with simple values, such as `{"queue": "mail"}`.
    """
    checker = Checker()
    checker.text("act", act, LONGEST)
    checker.text("by", by, LONGEST)
    if about is not None:
        checker.value("about", about)
    checker.finish()
    return (yield from base.read(audit.begin(base.context, act, by, dict(about or {}))))


@verb
def audit_count(base: Base, entry: str, count: int) -> Op[None]:
    """Write down how many tasks, `count`, the act with the id `entry` has changed so far."""
    yield from base.read(audit.counted(base.context, entry, count))


@verb
def audit_end(base: Base, entry: str, *, count: int = 0, error: str | None = None) -> Op[None]:
    """Write down that the act with the id `entry` has ended: it has changed `count` tasks, or failed with `error`."""
    yield from base.read(audit.end(base.context, entry, count, error))


@verb
def audits(base: Base, *, after: str | None = None, limit: int = 50) -> Op[list[AuditEntry]]:
    """The acts of operators, the newest first, at most `limit` (1 to 1,000); `after` goes on behind that id."""
    checker = Checker()
    checker.integer("limit", limit, 1, 1_000)
    if after is not None:
        checker.text("after", after, LONGEST)
    checker.finish()
    return (yield from base.read(audit.listed(base.context, after, limit)))
