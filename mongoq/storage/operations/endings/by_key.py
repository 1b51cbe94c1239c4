"""Updates of many documents of which each gets its own value of a field, chosen by its key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mongoq.storage.commands import Changing, Removing, Update
from mongoq.storage.documents import fields


def piped(update: Update, field: str, values: Mapping[str, Any]) -> list[Update]:
    """An update of `$set`, `$inc` and `$unset` as a pipeline which also writes `field`.

    A value of a user stands in a `$literal`, so that it is never read as an expression. The server makes a table of the
    keys once for a statement, as it does for an array that does not change.
    """
    place = {"$indexOfArray": [{"$literal": list(values)}, f"${fields.KEY}"]}
    written = {name: {"$literal": value} for name, value in update["$set"].items() if name != field}
    grown = {name: {"$add": [{"$ifNull": [f"${name}", 0]}, by]} for name, by in update["$inc"].items()}
    own = {field: {"$arrayElemAt": [{"$literal": list(values.values())}, place]}}
    return [{"$set": written | grown | own}, {"$unset": list(update["$unset"])}]


def apart(statements: Sequence[Changing | Removing]) -> Iterator[Changing | Removing]:
    """The statements with one for each document where a field differs, for a database without such pipelines."""
    for one in statements:
        if isinstance(one, Removing) or one.values is None:
            yield one
            continue
        field, values = one.values
        assert not isinstance(one.update, Sequence)
        for key, value in values.items():
            update = {**one.update, "$set": {**one.update["$set"], field: value}}
            yield Changing({**one.where, fields.KEY: {"$eq": key}}, update)
