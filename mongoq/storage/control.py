"""The commands that ask for no document: of the server, indexes, transactions, waiting, streams and blocks.

They belong to the closed set `commands.Command`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from mongoq.core.host.waiter import Waiter

if TYPE_CHECKING:
    from mongoq.storage.commands import Document, Keys, Op


@dataclass(frozen=True, slots=True)
class Hello:
    """What the server says of itself: its time, and whether it is part of a replica set."""


@dataclass(frozen=True, slots=True)
class Measure:
    """Nothing, after the server was asked for its time, where that was due."""


@dataclass(frozen=True, slots=True)
class ListCollections:
    """The names of the database's collections."""


@dataclass(frozen=True, slots=True)
class DescribeCollection:
    """What the server says of a collection: its `type` and `options`; None where it is not there."""

    collection: str


@dataclass(frozen=True, slots=True)
class ChangeCollection:
    """Nothing, after a collection was given these options, as the server's `collMod` takes them."""

    collection: str
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ListIndexes:
    """The indexes of a collection: by name, their keys and options; with `building` where one is not ready yet."""

    collection: str
    timeout: timedelta | None = None


@dataclass(frozen=True, slots=True)
class CurrentOps:
    """What the server works on just now in this database, as `$currentOp` shows it.

    Raises StorageRefused where this user may not look.
    """

    where: Document
    everybody: bool
    """Those of all users, and the server's own: this needs the right `inprog`. Else only this user's."""
    timeout: timedelta


@dataclass(frozen=True, slots=True)
class CreateIndexes:
    """Build indexes, given by name as their keys and options."""

    collection: str
    indexes: Mapping[str, tuple[Keys, Mapping[str, Any]]]
    quorum: str | None
    """How many members have to build them before they are used."""
    timeout: timedelta


@dataclass(frozen=True, slots=True)
class Transact:
    """The result of `body`, all of whose commands run in one transaction: all they write is seen at once, or never.

    `body` makes the operation anew each time: a transaction that met another's write, or a fail-over, is run again for
    `limit`. It must let every StorageError pass, since the server has aborted the transaction by then. Inside another
    transaction it is part of that one. Raises Unsupported on a standalone server.
    """

    body: Callable[[], Op[Any]]
    limit: timedelta | None = None
    reads: bool = False
    """Whether it only reads. It ends without a commit, which would wait for a majority."""


@dataclass(frozen=True, slots=True)
class Within:
    """The result of `body`, whose commands run in the transaction in progress of a session."""

    session: Any
    body: Callable[[], Op[Any]]


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """A session with a transaction in progress that began with `first`, which is run again while that can help.

    It is to be ended by `Commit` or `Abort`.
    """

    first: Callable[[], Op[Any]]


@dataclass(frozen=True, slots=True)
class Commit:
    """Commit the transaction of an `OpenTransaction` and end its session."""

    session: Any


@dataclass(frozen=True, slots=True)
class Abort:
    """Abort the transaction of an `OpenTransaction` and end its session."""

    session: Any


@dataclass(frozen=True, slots=True)
class KillSessions:
    """Nothing, after the server was told to abort the transactions of these sessions, given by their 16 bytes."""

    session_ids: Sequence[bytes]
    timeout: timedelta


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing, after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Whether the waiter was notified within so many seconds; None waits for ever."""

    waiter: Waiter
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """What a function returns that may block: starts threads, opens a client, waits for a process."""

    function: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Loop:
    """The event loop of who awaits the operation; None where it blocks."""


@dataclass(frozen=True, slots=True)
class Apart:
    """The result of an operation that runs outside of the caller's context: no session or time limit of its own."""

    op: Op[Any]


@dataclass(frozen=True, slots=True)
class Start:
    """A handle of an operation that runs beside this one."""

    op: Op[Any]


@dataclass(frozen=True, slots=True)
class Join:
    """The result of an operation that was started; what it raised is raised here. `PENDING` where it takes longer."""

    PENDING: ClassVar[str] = "pending"

    handle: Any
    seconds: float | None = None
    """How long to wait for it; None: to its end."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Nothing; an operation that was started is of no use any more. It is cancelled where it can be."""

    handle: Any


@dataclass(frozen=True, slots=True)
class Watch:
    """A change stream that starts now. Raises StorageRefused with one of `NO_STREAMS` where there can be none."""

    collection: str
    pipeline: Sequence[Document]
    await_seconds: float
    """How long one `Next` may wait on the server."""


@dataclass(frozen=True, slots=True)
class CreateCapped:
    """Nothing, after a capped collection of so many bytes was made; `convert`: out of the one that is there."""

    collection: str
    size: int
    convert: bool = False


@dataclass(frozen=True, slots=True)
class Tail:
    """A cursor on a capped collection that goes on behind its end. The first `Next` opens it."""

    collection: str
    where: Document
    await_seconds: float
    """How long one `Next` may wait on the server."""


@dataclass(frozen=True, slots=True)
class Next:
    """The next change of a stream; None where nothing came in time, `ENDED` where nothing can come any more."""

    ENDED: ClassVar[str] = "ended"

    stream: Any
    timeout: timedelta


@dataclass(frozen=True, slots=True)
class Unwatch:
    """Nothing, after a stream was closed."""

    stream: Any


@dataclass(frozen=True, slots=True)
class Entered:
    """Nothing, after the block of a `with` statement has run; what the block raised is raised here.

    `value` is what the statement's `as` gets.
    """

    value: Any
