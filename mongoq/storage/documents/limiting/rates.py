"""The document of a group of a rate limit: when its next start is free. Pure.

It is GCRA: `next` is the instant, in nanoseconds since 1970, at which the bucket is empty again. A start of weight w
moves it by w intervals; a start may come so much before it as the burst has intervals beyond w. Each start is an
instant of its own, told to one task only. Instants that were told ahead and given back stand in `free` until they have
passed. A write asks for the `mark` that it has read, so that two never tell the same instant.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from mongoq.limiting.limit import Limit
from mongoq.storage.commands import Document, Filter
from mongoq.storage.documents import fields

NEXT: Final = "next"
FREE: Final = "free"
MARK: Final = "mark"
GONE_AT: Final = "gone_at"
KEPT: Final = timedelta(hours=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Start(NamedTuple):
    """When a task may start, by the server's clock."""

    at: int
    weight: int


class Told(NamedTuple):
    """What a look at a group leads to."""

    starts: list[Start]
    """The instants of those that come first; the others come too late."""
    document: Document
    """The document as it is then."""


def nanoseconds(instant: datetime) -> int:
    """An instant, in nanoseconds since 1970."""
    return (instant - _EPOCH) // timedelta(microseconds=1) * 1000


def instant(number: int) -> datetime:
    """The same as an instant."""
    return _EPOCH + timedelta(microseconds=number // 1000)


def interval(limit: Limit) -> int:
    """Nanoseconds between two starts of weight 1."""
    assert limit.rate is not None
    return math.ceil(limit.per // timedelta(microseconds=1) * 1000 / limit.rate)


def earliest(limit: Limit, document: Document | None, weight: int, now: int) -> int:
    """When a start of this weight is free."""
    free = [at for at, own in _free(document, now) if own >= weight]
    before = max(0, limit.burst - weight) * interval(limit)
    return min([*free, max(now, _next(document) - before)])


def tell(limit: Limit, document: Document | None, weights: Sequence[int], now: int, until: int) -> Told:
    """Give the next instants to starts of these weights, in their order, as long as they come by `until`."""
    step, following, free = interval(limit), _next(document), _free(document, now)
    starts: list[Start] = []
    for weight in weights:
        given_back = next((one for one in free if one[1] == weight and one[0] <= until), None)
        if given_back is not None:
            free.remove(given_back)
            starts.append(Start(*given_back))
            continue
        at = max(now, following - max(0, limit.burst - weight) * step)
        if at > until:
            break
        following = max(following, at) + weight * step
        starts.append(Start(at, weight))
    return Told(starts, _document(following, free))


def given_back(document: Document | None, starts: Iterable[Start], now: int) -> Document:
    """The document when these starts are given back; those that have passed stay spent."""
    free = [*_free(document, now), *(one for one in starts if one.at > now)]
    return _document(_next(document), sorted(free))


def named(group: str) -> Filter:
    """The document of a group."""
    return {fields.KEY: {"$eq": group}}


def as_read(group: str, document: Document) -> Filter:
    """The document of a group, if nobody has written to it since."""
    return {**named(group), MARK: document.get(MARK)}


def of_limit(name: str) -> Filter:
    """The documents of the groups of a limit, and of others whose name begins as its name does."""
    return {fields.KEY: {"$gte": name, "$lt": f"{name};"}}


def _document(following: int, free: Iterable[Sequence[int]]) -> Document:
    gone_at = instant(following) + KEPT
    return {NEXT: following, FREE: [[*one] for one in free], MARK: secrets.token_hex(6), GONE_AT: gone_at}


def _next(document: Document | None) -> int:
    found: Any = (document or {}).get(NEXT, 0)
    return int(found)


def _free(document: Document | None, now: int) -> list[Start]:
    """The instants that were given back and lie ahead."""
    found: Any = (document or {}).get(FREE, ())
    return [Start(int(at), int(weight)) for at, weight in found if at >= now]
