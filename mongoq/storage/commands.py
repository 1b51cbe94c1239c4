"""What an operation may ask for: a closed set of frozen commands, and the replies that drivers give.

An operation is a generator: it yields a command and is sent the reply, or an error of `core.errors` is raised at the
`yield`. Each driver answers every command. Commands name no driver: their writes, time limits and hints are plain
values, so the operations import neither pymongo nor bson.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeAlias, TypeVar

from mongoq.storage.asking import Ask
from mongoq.storage.control import (
    Abort,
    Apart,
    Call,
    ChangeCollection,
    Commit,
    CreateCapped,
    CreateIndexes,
    CurrentOps,
    DescribeCollection,
    Entered,
    Hello,
    Join,
    KillSessions,
    Leave,
    ListCollections,
    ListIndexes,
    Loop,
    Measure,
    Next,
    OpenTransaction,
    Pause,
    Start,
    Tail,
    Transact,
    Unwatch,
    Wait,
    Watch,
    Within,
)

T = TypeVar("T")

Document = dict[str, Any]
Filter = dict[str, Any]
Update = dict[str, Any]
Keys = Sequence[tuple[str, int]]
"""The keys of an index or an order: 1 ascends, -1 descends."""

TIME_IS_UP: Final = 50
"""The server's code where a command ran into its time limit."""
WRITE_CONFLICT: Final = 112
"""The server's code where another transaction has written to a document, or a write met this one."""


@dataclass(frozen=True, slots=True)
class Find:
    """The documents that match, as a list.

    A `limit` makes it one round trip: the server closes the cursor after a single batch, which holds at most 16 MiB,
    so fewer documents than asked for may come although more match. `most` stops after so many, however many batches
    they take.
    """

    collection: str
    where: Filter
    only: Sequence[str] | None = None
    """The fields to bring. Default: all but those of `without`."""
    without: Sequence[str] = ()
    sort: Keys | None = None
    hint: str | None = None
    """The name of the index to use."""
    limit: int = 0
    most: int = 0
    skip: int = 0
    majority: bool = False
    """Read only what cannot be rolled back."""
    naive: bool = False
    """Read instants without their zone, UTC: for one who adds it (`codec.made_aware`)."""
    server_limit: timedelta | None = None
    """How long the server may work on it."""
    timeout: timedelta | None = None
    """A time limit in place of the client's own."""
    comment: str | None = None
    """A mark under which `CurrentOps` finds it."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many documents match, counted up to `most` where that is not 0."""

    collection: str
    where: Filter
    hint: str | None = None
    most: int = 0
    timeout: timedelta | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Aggregate:
    """The rows of a pipeline."""

    collection: str
    pipeline: Sequence[Document]
    hint: str | None = None
    batch: int = 0
    """How many rows one reply brings; 0: 101, as the server chooses."""
    naive: bool = False
    """As in `Find`."""
    timeout: timedelta | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class InsertOne:
    """Insert an encoded document. Raises KeyTaken."""

    collection: str
    body: Any


@dataclass(frozen=True, slots=True)
class InsertMany:
    """Insert encoded documents. Raises PartlyWritten where some were refused.

    Ordered, nothing after the first refused one is tried.
    """

    collection: str
    bodies: Sequence[Any]
    ordered: bool = True


@dataclass(frozen=True, slots=True)
class UpdateMany:
    """Update what matches; how many documents matched. The driver does not repeat it by itself."""

    collection: str
    where: Filter
    update: Update | Sequence[Update]
    hint: str | None = None
    upsert: bool = False
    timeout: timedelta | None = None


@dataclass(frozen=True, slots=True)
class FindAndUpdate:
    """Update the first document that matches; the document afterwards, or None."""

    collection: str
    where: Filter
    update: Update
    sort: Keys
    hint: str
    server_limit: timedelta


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete what matches; how many documents."""

    collection: str
    where: Filter
    hint: str | None = None
    timeout: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Changing:
    """One statement of a `Bulk`: update what matches."""

    where: Filter
    update: Update | Sequence[Update]
    many: bool = False
    values: tuple[str, Mapping[str, Any]] | None = None
    """A field that differs from document to document, and its value for each key."""
    upsert: bool = False
    """Insert a document with what the filter asks for, where none matches."""


@dataclass(frozen=True, slots=True)
class Removing:
    """One statement of a `Bulk`: delete what matches."""

    where: Filter
    many: bool = False


@dataclass(frozen=True, slots=True)
class Bulk:
    """Statements in one round trip; how many documents they matched or deleted together.

    Each finds its documents by `_id`. Raises PartlyWritten where some were refused.
    """

    collection: str
    writes: Sequence[Changing | Removing]
    ordered: bool = True
    timeout: timedelta | None = None


Command: TypeAlias = (
    Find | Count | Aggregate | InsertOne | InsertMany | UpdateMany | FindAndUpdate | Delete | Bulk | Hello | Measure
    | ListCollections | DescribeCollection | ListIndexes | CurrentOps | CreateIndexes | ChangeCollection | Transact
    | Within | OpenTransaction | Commit | Abort | KillSessions | Pause | Wait | Call | Loop | Apart | Start | Join
    | Leave | Watch | Tail | Next | Unwatch | CreateCapped | Entered | Ask
)  # fmt: skip

Op: TypeAlias = Generator[Command, Any, T]
"""An operation whose result is a T."""


def find(collection: str, where: Filter, **options: Any) -> Op[list[Document]]:
    """The documents that match; the options are those of `Find`."""
    documents: list[Document] = yield Find(collection, where, **options)
    return documents


def find_one(collection: str, where: Filter, **options: Any) -> Op[Document | None]:
    """The first document that matches, or None."""
    found = yield from find(collection, where, limit=1, **options)
    return found[0] if found else None


def update_many(
    collection: str, where: Filter, update: Update | Sequence[Update], *, timeout: timedelta | None = None
) -> Op[int]:
    """Update what matches, found by `_id`; how many matched.

    The hint keeps the planner from trying every index that could serve one of the guards.
    """
    matched: int = yield UpdateMany(collection, where, update, hint="_id_", timeout=timeout)
    return matched


def nothing(result: T) -> Op[T]:
    """An operation that asks for nothing."""
    yield from ()
    return result
