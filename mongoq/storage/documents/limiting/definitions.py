"""The definition of a limit, in `<namespace>.control` among the orders that every process reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final

from mongoq.core.tasks.read_only import EMPTY, ReadOnly
from mongoq.limiting.limit import ORDERS, PRIORITY, Limit
from mongoq.storage.commands import Document, Filter
from mongoq.storage.documents import fields

PREFIX: Final = "order:limit:"


def key(name: str) -> str:
    """The key of the document of a limit."""
    return f"{PREFIX}{name}"


def named(name: str) -> Filter:
    """The document of a limit."""
    return {fields.KEY: {"$eq": key(name)}}


def all_of_them() -> Filter:
    """The documents of all limits, of those that cannot be read, too."""
    return {fields.KEY: {"$gte": PREFIX, "$lt": f"{PREFIX[:-1]};"}}


def written(limit: Limit, highest: int) -> Document:
    """What is stored of a limit; `highest` is the highest concurrency that it ever had."""
    return {
        "concurrency": limit.concurrency, "by": limit.by, "order": limit.order, "highest": highest,
        "rate": limit.rate, "per": limit.per.total_seconds(), "burst": limit.burst,
    }  # fmt: skip


def read_from(found: Iterable[Document]) -> Mapping[str, Limit]:
    """The limits among these documents, by name; what is no limit is left out."""
    limits = {limit.name: limit for document in found if (limit := _limit(document)) is not None}
    return ReadOnly(limits) if limits else EMPTY


def _limit(document: Document) -> Limit | None:
    key, get = str(document[fields.KEY]), document.get
    if not key.startswith(PREFIX):
        return None
    concurrency, by, order = get("concurrency"), get("by"), get("order", PRIORITY)
    if not (_number(concurrency) and (by is None or isinstance(by, str)) and order in ORDERS):
        return None
    highest, rate, per, burst = get("highest"), get("rate"), get("per", 1.0), get("burst", 1)
    most = max(concurrency or 0, highest if _number(highest) and highest else 0)
    if rate is not None and not (_positive(rate) and _positive(per) and burst and _number(burst)):
        return None
    name = key.removeprefix(PREFIX)
    return Limit(name, concurrency, by, order, rate, timedelta(seconds=per), burst, most)


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and value > 0


def _number(value: Any) -> bool:
    return value is None or (isinstance(value, int) and value > 0)
