"""Unique indexes over some documents of a collection, which mongomock does not have."""

from __future__ import annotations

from typing import Any

from mongoq.storage.commands import Document
from mongoq.storage.documents.fields import value_of


def taken_twice(collection: Any, index: Document, written: list[Document]) -> bool:
    """Whether a value of these documents, as they are now, is in another document of a unique index as well."""
    [(field, _)], partial = index["key"], index.get("partialFilterExpression", {})
    among = {"_id": {"$in": [document["_id"] for document in written]}}
    for document in collection.find({"$and": [among, partial]}):
        value = value_of(document, field)
        if value is None:
            continue
        same = {field: {"$in": value} if isinstance(value, list) else {"$eq": value}}
        if collection.count_documents({"$and": [partial, same]}) > 1:
            return True
    return False
