"""The definition of a limit, in `<namespace>.control` among the orders that every process reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from mongoq.core.read_only import EMPTY, ReadOnly
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


def written(limit: Limit, highest: int) -> Document:
    """What is stored of a limit; `highest` is the highest concurrency that it ever had."""
    return {"concurrency": limit.concurrency, "by": limit.by, "order": limit.order, "highest": highest}


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
    highest = get("highest")
    most = max(concurrency or 0, highest if _number(highest) and highest else 0)
    return Limit(key.removeprefix(PREFIX), concurrency, by, order, most)


def _number(value: Any) -> bool:
    return value is None or (isinstance(value, int) and value > 0)
