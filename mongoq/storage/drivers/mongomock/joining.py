"""Pipelines that read more than one collection: mongomock's `$lookup` has no pipeline, and it lacks `$unionWith`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mongomock import aggregate

from mongoq.storage.commands import Document

JOINS: Final = {"$lookup", "$unionWith"}
_process = vars(aggregate)["process_pipeline"]


def rows(collection: Callable[[str], Any], name: str, pipeline: list[Document]) -> list[Document]:
    """The rows of a pipeline over the collection of this name."""
    place = next((place for place, stage in enumerate(pipeline) if JOINS & stage.keys()), len(pipeline))
    first = collection(name)
    found: list[Document] = list(first.aggregate(pipeline[:place]))
    for stage in pipeline[place:]:
        if union := stage.get("$unionWith"):
            found += rows(collection, union["coll"], union["pipeline"])
        elif lookup := stage.get("$lookup"):
            for row in found:
                same = {"$match": {lookup["foreignField"]: {"$eq": row[lookup["localField"]]}}}
                row[lookup["as"]] = rows(collection, lookup["from"], [same, *lookup["pipeline"]])
        else:
            found = list(_process(found, first.database, [stage], None))
    return found
