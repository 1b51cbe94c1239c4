"""Which tasks get which free slots. Pure.

Tasks of a worker whose handlers are fast share slots: they run one after the other, and the last of them has the slot
in its hold, so that it is taken until all have run. One slot is then written, freed and handed over for many tasks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mongoq.limiting.limit import Limit
from mongoq.storage.commands import Document
from mongoq.storage.documents import fields
from mongoq.storage.operations.limits.writing import Grant

Full = dict[str, list[Document]]
"""Tasks without room, by the group that has none."""
SHARED = Grant(shares=True)


PLENTY: Final = 16
"""A limit has plenty of slots if it has so many times as many as a process has handlers."""


def has_plenty(limit: Limit | None, handlers: int) -> bool:
    """Whether a limit has so many slots that a process need not spare them."""
    return limit is not None and (limit.concurrency or 0) >= PLENTY * max(1, handlers)


@dataclass(frozen=True, slots=True)
class Terms:
    """How a claim takes slots."""

    most: int
    """How many tasks to claim."""
    in_turn: int = 1
    """How many tasks may share a slot."""
    at_once: int = 0
    """How many slots of scarce limits to take for tasks that share them; 0: any number."""
    handlers: int = 0
    """How many slots to take for those that share slots of limits with plenty; 0: any number."""
    plenty: Collection[str] = ()
    """The groups of limits that have plenty of slots: many times what one process can use."""


@dataclass(frozen=True, slots=True)
class Allotted:
    """Who gets what."""

    grants: dict[str, Grant]
    """By the keys of the tasks."""
    full: Full
    left: int
    """How many tasks were left for later, because this claim has taken slots enough."""


@dataclass(slots=True)
class _Sharing:
    """Tasks that share slots: all in the same groups."""

    slots: list[list[str]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)


def allot(
    found: Sequence[tuple[Document, Sequence[str]]],
    free: Mapping[str, list[str]],
    heads: Mapping[str, Document],
    terms: Terms,
) -> Allotted:
    """Allot free slots to these tasks, the most urgent first, each with the groups in which it needs one."""
    grants: dict[str, Grant] = {}
    full: Full = defaultdict(list)
    sharing: dict[tuple[str, ...], _Sharing] = defaultdict(_Sharing)
    used = {True: 0, False: 0}
    left = 0
    for document, own in found:
        if len(grants) >= terms.most:
            break
        key, line = document[fields.KEY], document.get(fields.LINE, "")
        head = heads.get(line)
        if line in own and head is not None and head[fields.KEY] != key:
            full[line].append(document)
            continue
        lacking = _lacking(own, free)
        if not own or terms.in_turn < 2 or not may_share(document):
            if lacking is None:
                grants[key] = Grant([free[group].pop() for group in own])
            else:
                full[lacking].append(document)
            continue
        mates = sharing[tuple(own)]
        wide = lacking is None and all(group in terms.plenty for group in own)
        most = terms.handlers if wide else terms.at_once
        if lacking is None and (not most or used[wide] < most):
            mates.slots.append([free[group].pop() for group in own])
            used[wide] += 1
        elif len(mates.keys) >= len(mates.slots) * terms.in_turn:
            if lacking is not None:
                full[lacking].append(document)
            else:
                left += 1
            continue
        mates.keys.append(key)
        grants[key] = SHARED
    for mates in sharing.values():
        last = mates.keys[len(mates.keys) - len(mates.slots) :]
        grants |= {key: Grant(slots) for key, slots in zip(last, mates.slots, strict=True)}
    return Allotted(grants, full, left)


def _lacking(own: Sequence[str], free: Mapping[str, list[str]]) -> str | None:
    """The first of these groups that has no free slot."""
    for group in own:
        if not free[group]:
            return group
    return None


def may_share(document: Document) -> bool:
    """Whether a task may run in a slot after others: one of a line, with a rate, or with a lease of its own may not."""
    if fields.LINE in document or document.get(fields.LOST_LEASES):
        return False
    policy = document.get(fields.POLICY)
    return policy is None or (isinstance(policy, dict) and "lease" not in policy)
