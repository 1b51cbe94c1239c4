"""What an operation may ask for, as a value: one command to MongoDB, or several in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, TypeVar

T = TypeVar("T")

Document = dict[str, Any]
Filter = dict[str, Any]
Update = dict[str, Any]

TIME_IS_UP: Final = 50
"""The server's code where a command ran into its time limit."""


@dataclass(frozen=True, slots=True)
class Command:
    """One call of a method of a collection (or of the database, where `collection` is None)."""

    collection: str | None
    verb: str
    args: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    majority: bool = False
    """Read only what cannot be rolled back any more."""
    naive: bool = False
    """Read instants without their zone, UTC: for one who adds it (`codec.made_aware`)."""
    limit: timedelta | None = None
    """A time limit of its own in place of the client's timeouts."""


@dataclass(frozen=True, slots=True)
class Transaction(Command):
    """Several commands, run as one operation in one transaction: all that it writes is seen at once, or never.

    `body` makes it anew each time: a transaction that met another's write, or a fail-over, is run again. It must let
    every StorageError pass, since the server has aborted the transaction by then. `limit` is for how long it is
    run again.
    """

    collection: str | None = None
    verb: str = "transaction"
    body: Callable[[], Op[Any]] = field(kw_only=True)


Op = Generator[Command, Any, T]
"""An operation whose result is a T."""


def find(
    collection: str,
    where: Filter,
    *,
    only: Sequence[str] | None = None,
    without: Sequence[str] | None = None,
    sort: Sequence[tuple[str, int]] | None = None,
    hint: str | None = None,
    limit: int = 0,
    skip: int = 0,
    majority: bool = False,
    max_time_ms: int | None = None,
    naive: bool = False,
) -> Op[list[Document]]:
    """The documents that match, all at once.

    A limit makes it one round trip: the server closes the cursor after a single batch, which holds at most
    16 MiB, so fewer documents than asked for may come although more match.
    """
    options: dict[str, Any] = {"limit": -limit, "batch_size": limit} if limit else {}
    if skip:
        options["skip"] = skip
    if only is not None:
        options["projection"] = list(only)
    elif without is not None:
        options["projection"] = dict.fromkeys(without, 0)
    if sort is not None:
        options["sort"] = list(sort)
    if hint is not None:
        options["hint"] = hint
    if max_time_ms is not None:
        options["max_time_ms"] = max_time_ms
    documents: list[Document] = yield Command(collection, "find", (where,), options, majority, naive)
    return documents


def find_one(collection: str, where: Filter, **options: Any) -> Op[Document | None]:
    """The first document that matches, or None."""
    found = yield from find(collection, where, limit=1, **options)
    return found[0] if found else None


def update_many(
    collection: str, where: Filter, update: Update | list[Update], *, limit: timedelta | None = None
) -> Op[int]:
    """Update what matches, found by `_id`; how many matched. The driver does not repeat it by itself.

    The hint keeps the planner from trying every index that could serve one of the guards.
    """
    result = yield Command(collection, "update_many", (where, update), {"hint": "_id_"}, limit=limit)
    return int(result.matched_count)
