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
MOST: Final = 2**63 - 1


@verb
def audit_begin(base: Base, act: str, *, by: str, about: Mapping[str, Any] | None = None) -> Op[AuditEntry]:
    """Record that somebody begins an act, before it is done, and return the entry.

    Entries are kept for 400 days. Close it with `audit_end`, whether the act succeeds or fails.

    Args:
        act: what is done, such as `retry`.
        by: who does it.
        about: what it is done to, as names with simple values, such as `{"queue": "mail"}`.

    Raises:
        ConfigurationError: an argument is not acceptable.
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
    """Record how many tasks the act with the id `entry` has changed so far.

    Raises:
        ConfigurationError: an argument is not acceptable.
    """
    _check(entry, count)
    yield from base.read(audit.counted(base.context, entry, count))


@verb
def audit_end(base: Base, entry: str, *, count: int = 0, error: str | None = None) -> Op[None]:
    """Record that the act with the id `entry` has ended: it has changed `count` tasks, or failed with `error`.

    Raises:
        ConfigurationError: an argument is not acceptable.
    """
    _check(entry, count, error)
    yield from base.read(audit.end(base.context, entry, count, error))


@verb
def audits(base: Base, *, after: str | None = None, limit: int = 50) -> Op[list[AuditEntry]]:
    """Return the acts of operators, the newest first.

    Args:
        after: continue behind the entry with this id.
        limit: at most so many, 1 to 1,000.

    Raises:
        ConfigurationError: an argument is not acceptable.
    """
    checker = Checker()
    checker.integer("limit", limit, 1, 1_000)
    if after is not None:
        checker.text("after", after, LONGEST)
    checker.finish()
    return (yield from base.read(audit.listed(base.context, after, limit)))


def _check(entry: str, count: int, error: str | None = None) -> None:
    checker = Checker()
    checker.text("entry", entry, LONGEST)
    checker.integer("count", count, 0, MOST)
    if error is not None and not isinstance(error, str):
        checker.refuse("error", error, "a string")
    checker.finish()
